import MaTVLMTensor

/// Other processes that are not there: what they would give is what this one gives, so that one process
/// can be counted as it is among them.
struct CountedRanks: Communicator {
  let rank = 0
  let size: Int
  let localRank = 0
  var localSize: Int { size }

  func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] {
    Array(repeating: values, count: size)
  }

  func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] {
    Array(repeating: parts[rank], count: size)
  }

  func sum(_ tensors: [Tensor]) -> [Tensor] {
    tensors.map { .zeros($0.shape, $0.dtype, on: $0.device) }
  }
}
