import Foundation

/// One operation with inputs of certain shapes, as often as it was used.
package struct OperationCount: Sendable {
  /// The function of ``Backend``.
  package let name: String
  /// Floating-point operations of one use, an addition and a multiplication counting two.
  package let operations: Double
  package fileprivate(set) var uses = 1
  fileprivate let inputs: [Input]
  /// What tells operations with the same inputs apart: lengths of segments, numbers of heads.
  fileprivate let details: [Int]
  /// Which part of the operation the probe does.
  private let share: Double
  private let probe: @Sendable (any Backend, [Tensor]) -> Tensor

  struct Input: Sendable, Hashable {
    let shape: Shape
    let dtype: DType

    init(_ tensor: Tensor) { self.init(tensor.shape, tensor.dtype) }
    init(_ shape: Shape, _ dtype: DType = .float32) { (self.shape, self.dtype) = (shape, dtype) }
  }

  /// - Parameters:
  ///   - share: the part of the operation that `probe` does: large ones need not be done whole.
  ///   - probe: does it on inputs of zeros.
  init(
    _ name: String, _ operations: Double, _ inputs: [Input], details: [Int] = [],
    share: Double = 1,
    probe: @escaping @Sendable (any Backend, [Tensor]) -> Tensor
  ) {
    (self.name, self.operations, self.inputs) = (name, operations, inputs)
    (self.details, self.share, self.probe) = (details, share, probe)
  }
}

/// Operations in the order in which they were first used.
package struct OperationCounts: Sendable {
  private struct Key: Hashable {
    let name: String
    let inputs: [OperationCount.Input]
    let details: [Int]
  }

  package private(set) var all: [OperationCount] = []
  private var places: [Key: Int] = [:]

  mutating func add(_ operation: OperationCount) {
    let key = Key(name: operation.name, inputs: operation.inputs, details: operation.details)
    if let place = places[key] {
      all[place].uses += 1
    } else {
      places[key] = all.count
      all.append(operation)
    }
  }

  /// Floating-point operations of all uses.
  package var operations: Double { all.reduce(0) { $0 + Double($1.uses) * $1.operations } }
}

extension OperationCount {
  /// Seconds of one use on a device, by doing it.
  ///
  /// Small operations are repeated, since a clock and a card's queue have their own costs; the first
  /// time is not counted if there is another. On a card, which may have to compile a kernel, there
  /// always is.
  package func seconds(on device: Device, _ zeros: inout ProbeInputs) -> Double {
    let tensors = zeros.tensors(of: inputs, on: device)
    let clock = ContinuousClock()
    func run(_ times: Int) -> Double {
      let start = clock.now
      for _ in 1..<times { _ = probe(device.backend, tensors) }
      let last = probe(device.backend, tensors)
      device.wait(for: last)
      return (clock.now - start) / .seconds(1) / Double(times)
    }
    let first = run(1)
    let once = device == .cpu ? first : run(1)
    guard once < Self.longEnough else { return once / share }
    let times = max(1, min(64, Int(Self.longEnough / 2 / max(once, 1e-7))))
    return min(run(times), run(times)) / share
  }

  /// Seconds from which one time is a measurement.
  private static let longEnough = 0.1
}

/// Zeros that probes share: an operation gets different ones for each of its inputs.
package struct ProbeInputs {
  private struct Key: Hashable {
    let input: OperationCount.Input
    let occurrence: Int
  }

  private var tensors: [Key: Tensor] = [:]

  package init() {}

  fileprivate mutating func tensors(
    of inputs: [OperationCount.Input], on device: Device
  ) -> [Tensor] {
    var seen: [OperationCount.Input: Int] = [:]
    return inputs.map { input in
      seen[input, default: 0] += 1
      let key = Key(input: input, occurrence: seen[input]!)
      if let known = tensors[key] { return known }
      let zeros = device.zeros(input)
      tensors[key] = zeros
      return zeros
    }
  }
}

extension Device {
  fileprivate func zeros(_ input: OperationCount.Input) -> Tensor {
    guard case .quantized = input.dtype else { return .zeros(input.shape, input.dtype, on: self) }
    return backend.convert(.zeros(input.shape, .float32, on: self), to: input.dtype)
  }

  /// Reading a byte waits for everything before it.
  fileprivate func wait(for tensor: Tensor) {
    guard tensor.shape.count > 0 else { return }
    withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) {
      backend.read(tensor.storage.memory, at: 0, into: $0)
    }
  }
}
