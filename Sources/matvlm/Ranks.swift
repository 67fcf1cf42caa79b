import Foundation
import MaTVLMCore
import MaTVLMMPI
import Synchronization

/// The processes that `mpirun` started to do one thing together, if it did.
enum Ranks {
  private static let joined = Mutex<MPICommunicator?>(nil)

  /// Joins the other processes, if there are any.
  /// - Throws: ``CommunicatorError/notBuilt`` when there are and the program was built for one.
  static func join() throws -> any Communicator {
    guard wereStarted else { return OneProcess() }
    let ranks = try MPICommunicator()
    joined.withLock { $0 = ranks }
    return ranks
  }

  /// What Open MPI, or another launcher that speaks PMIx, tells the processes that it starts.
  private static var wereStarted: Bool {
    let environment = ProcessInfo.processInfo.environment
    if let size = environment["OMPI_COMM_WORLD_SIZE"] { return size != "1" }
    return environment["PMIX_RANK"] != nil
  }

  /// Whether rank 0 is another process, which writes and speaks for this one.
  static var isOther: Bool { joined.withLock { $0.map { $0.rank > 0 } ?? false } }

  /// How a process ends, and who says why.
  struct Ending {
    let code: Int32
    let isSpeaker: Bool
    /// The others are at work and would wait for this one forever: they have to be ended.
    let isAlone: Bool
  }

  /// Waits for the others to end too.
  static func leave() {
    _ = end(EXIT_SUCCESS, within: .infinity)
    finish()
  }

  /// Finds out whether all fail, each having heard of it, or only this one.
  static func fail(_ code: Int32) -> Ending { end(code, within: 3) }

  private static func end(_ code: Int32, within seconds: Double) -> Ending {
    guard let ranks = joined.withLock({ $0 }) else {
      return Ending(code: code, isSpeaker: true, isAlone: false)
    }
    guard let code = ranks.leave(code, within: seconds) else {
      return Ending(code: code, isSpeaker: true, isAlone: true)
    }
    return Ending(code: code, isSpeaker: ranks.rank == 0, isAlone: false)
  }

  /// Waits until the speaker has spoken.
  static func finish() { joined.withLock { $0 }?.finish() }

  /// Ends all processes at once, this one included.
  static func abort(_ code: Int32) { joined.withLock { $0 }?.abort(code) }

  /// What a line of one of several processes begins with.
  static var name: String { joined.withLock { $0.map { "rank \($0.rank): " } ?? "" } }
}
