import CMaTVLMKernels
import Foundation

extension CPUBackend {
  package func adamW(_ updates: [AdamWUpdate], _ step: AdamWStep) {
    for update in updates {
      let parts = [update.gradient, update.firstMoment, update.secondMoment]
      require(
        parts.allSatisfy { $0.shape == update.value.shape } && !update.value.storage.isBorrowed,
        "adamW: value \(update.value.shape), gradient and moments \(parts.map(\.shape))")
    }
    let blocks = ElementBlocks(updates.map(\.value.shape.count))
    parallel(blocks.count) { [self] item in
      let (index, range) = blocks[item]
      let (update, at) = (updates[index], range.lowerBound)
      var shared = matvlm_adamw(step, weightDecay: update.weightDecay)
      kernels.elementwise.adamw(
        update.value.floats + at, update.gradient.floats + at, update.firstMoment.floats + at,
        update.secondMoment.floats + at, Int64(range.count), &shared)
    }
  }

  package func sumOfSquares(_ tensors: [Tensor]) -> Tensor {
    let blocks = ElementBlocks(tensors.map(\.shape.count))
    let terms = doubles(blocks.count) { [self] item in
      let (index, range) = blocks[item]
      return kernels.loss.sum_of_squares(
        tensors[index].floats + range.lowerBound, Int64(range.count))
    }
    return Tensor([Float(terms.reduce(0, +))], [1], on: Device(self))
  }

  /// `value` of every item, found on several threads.
  func doubles(_ items: Int, _ value: @Sendable (Int) -> Double) -> [Double] {
    let stride = MemoryLayout<Double>.stride
    let values = Storage(self, byteCount: items * stride)
    // Its memory is not its owner: somebody else would be given it meanwhile.
    return withExtendedLifetime(values) {
      let memory = values.memory
      parallel(items) { item in
        memory.pointer.storeBytes(of: value(item), toByteOffset: item * stride, as: Double.self)
      }
      return (0..<items).map { memory.pointer.load(fromByteOffset: $0 * stride, as: Double.self) }
    }
  }
}

/// Arrays of different lengths cut into blocks of work, numbered through all of them.
struct ElementBlocks: Sendable {
  private let lengths: [Int]
  /// The number of each array's first block, and at the end the number of blocks.
  private let starts: [Int]
  private static let grain = CPUBackend.elementGrain

  init(_ lengths: [Int]) {
    self.lengths = lengths
    starts = lengths.reduce(into: [0]) { $0.append($0.last! + ($1 + Self.grain - 1) / Self.grain) }
  }

  var count: Int { starts.last! }

  /// Which array block `item` belongs to, and its elements there.
  subscript(_ item: Int) -> (array: Int, elements: Range<Int>) {
    // Binary search for the last array that starts at or before the block.
    var (low, high) = (0, lengths.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if starts[middle] <= item { low = middle } else { high = middle }
    }
    let first = (item - starts[low]) * Self.grain
    return (low, first..<min(lengths[low], first + Self.grain))
  }
}

extension matvlm_adamw {
  init(_ step: AdamWStep, weightDecay: Float) {
    self.init(
      decay: Float(1 - Double(step.learningRate) * Double(weightDecay)),
      step_size: Float(Double(step.learningRate) / Double(step.correction1)),
      beta1: step.beta1, beta2: step.beta2, epsilon: step.epsilon,
      inverse_root_correction2: Float(1 / Double(step.correction2).squareRoot()),
      gradient_scale: step.gradientScale)
  }
}
