import CMPIShim
import MaTVLMTensor

/// The processes that `mpirun` started, over Open MPI. Made once, and used by one thread.
public final class MPICommunicator: Communicator {
  public let rank: Int
  public let size: Int
  public let localRank: Int
  public let localSize: Int

  /// Joins the other processes, and waits for them.
  /// - Throws: ``CommunicatorError/notBuilt`` when the package was built without its trait `MPI`.
  public init() throws {
    var place = matvlm_mpi_place()
    guard matvlm_mpi_join(&place) == 0 else { throw CommunicatorError.notBuilt }
    (rank, size) = (Int(place.rank), Int(place.size))
    (localRank, localSize) = (Int(place.local_rank), Int(place.local_size))
  }

  public func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] {
    let counts = gatherCounts(values.count)
    let all = [Element](unsafeUninitializedCapacity: counts.reduce(0, +)) { buffer, count in
      values.withUnsafeBytes { own in
        matvlm_mpi_all_gather(own.baseAddress, buffer.baseAddress, bytes(counts, of: Element.self))
      }
      count = counts.reduce(0, +)
    }
    return cut(all, counts)
  }

  public func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] {
    require(parts.count == size, "allToAll: \(parts.count) parts for \(size) ranks")
    let sent = parts.map(\.count)
    let received = allGather(sent).map { $0[rank] }
    let all = [Element](unsafeUninitializedCapacity: received.reduce(0, +)) { buffer, count in
      parts.flatMap(\.self).withUnsafeBytes { own in
        matvlm_mpi_all_to_all(
          own.baseAddress, bytes(sent, of: Element.self), buffer.baseAddress,
          bytes(received, of: Element.self))
      }
      count = received.reduce(0, +)
    }
    return cut(all, received)
  }

  /// Ends this process's part, if every rank does so within some seconds; then only ``finish()`` may be
  /// called.
  /// - Parameter code: the exit code that this rank would have.
  /// - Returns: the exit code of all, the largest of them; nil when another rank is still at work.
  public func leave(_ code: Int32, within seconds: Double) -> Int32? {
    var code = code
    return matvlm_mpi_leave(seconds, &code) == 0 ? code : nil
  }

  /// Waits for the others after all have left. The launcher ends all as soon as one process ends with
  /// an error, so whoever has something to say says it before.
  public func finish() { matvlm_mpi_finish() }

  /// Ends all processes at once.
  public func abort(_ code: Int32) { matvlm_mpi_abort(code) }

  private func gatherCounts(_ count: Int) -> [Int] {
    var counts = [UInt64](repeating: 0, count: size)
    matvlm_mpi_gather_counts(UInt64(count), &counts)
    return counts.map { Int($0) }
  }

  private func bytes<Element>(_ counts: [Int], of: Element.Type) -> [UInt64] {
    counts.map { UInt64($0 * MemoryLayout<Element>.stride) }
  }

  private func cut<Element>(_ all: [Element], _ counts: [Int]) -> [[Element]] {
    var start = 0
    return counts.map { count in
      defer { start += count }
      return Array(all[start..<start + count])
    }
  }
}
