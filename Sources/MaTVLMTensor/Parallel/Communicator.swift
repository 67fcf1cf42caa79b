/// Processes that train together, as one of them sees them.
///
/// Every method is called by all of them in the same order, and waits for the others. What it returns
/// depends on what the ranks gave and on their order, never on which came first.
public protocol Communicator: Sendable {
  /// The number of this process, from 0.
  var rank: Int { get }
  /// How many there are.
  var size: Int { get }
  /// The number of this process among those on its machine.
  var localRank: Int { get }
  /// How many are on its machine.
  var localSize: Int { get }

  /// What each rank gives, in rank order; they need not give equally much.
  func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]]

  /// Gives each rank its part of `parts`, and returns what each gave this one, in rank order.
  func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]]

  /// Σ over the ranks of each tensor, float32; the same bits on every rank. The tensors that are given
  /// stay as they are.
  /// - Precondition: every rank gives the same shapes.
  func sum(_ tensors: [Tensor]) -> [Tensor]

  /// Begins a sum of tensors that are not all there yet, and does not wait; otherwise as ``sum(_:)``.
  func beginSum() -> any PendingSum
}

/// One process: nobody to exchange anything with.
public struct OneProcess: Communicator {
  public let rank = 0
  public let size = 1
  public let localRank = 0
  public let localSize = 1

  public init() {}

  public func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] { [values] }
  public func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] { parts }
  public func sum(_ tensors: [Tensor]) -> [Tensor] { tensors }
}

/// Why processes cannot work together.
public enum CommunicatorError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The package was built without its trait `MPI`.
  case notBuilt
  /// Something failed on another rank.
  case failed(rank: Int, reason: String)
  /// A rank is about another run than rank 0, or came to other numbers.
  case disagreement(rank: Int, difference: String)
  /// There are more ranks than sequences in an update.
  case tooManyRanks(Int, sequences: Int)

  public var description: String {
    switch self {
    case .notBuilt:
      "several processes were started, and this program was built for one; build it with "
        + "'swift build -c release --traits MPI'"
    case .failed(let rank, let reason): "rank \(rank): \(reason)"
    case .disagreement(let rank, let difference):
      "rank \(rank) does not agree with rank 0: \(difference)"
    case .tooManyRanks(let ranks, let sequences):
      "an update of \(sequences) sequence\(sequences == 1 ? "" : "s") cannot be split over \(ranks) "
        + "processes; start fewer, or raise the batch size or the gradient accumulation"
    }
  }
}
