import MaTVLMTensor

/// What `device` computes otherwise than `reference`: empty when it conforms.
///
/// Activations are rounded to the device's activation type for both, so a device with bfloat16
/// activations is judged by its own roundings only.
///
/// - Parameters:
///   - toleranceScale: what tolerances are multiplied by, for a device whose products are less
///     exact than float32's; exact cases stay exact.
///   - cases: those to run.
package func conformanceFailures(
  of device: Device, against reference: Device = Device(ReferenceBackend()),
  toleranceScale: Double = 1, cases: [OperationCase] = OperationCase.all
) -> [String] {
  cases.filter { $0.isFor(device) }.flatMap { operation in
    operation.failures(of: device, against: reference, toleranceScale: toleranceScale)
      .map { "\(device) \(operation): \($0)" }
  }
}

extension OperationCase {
  /// The bits of every result on a CPU-like device, for comparisons of a device with itself.
  package func resultBits(on device: Device) -> [[UInt32]] {
    var inputs = CaseInputs(of: self, on: device, judging: device)
    return body(&inputs).map { output in
      output.tensor.dtype == .int32
        ? output.tensor.indices().map { UInt32(bitPattern: Int32($0)) }
        : output.tensor.array().map(\.bitPattern)
    }
  }

  /// Name, type and shape of every result, which even a device without values has.
  package func resultShapes(on device: Device) -> [String] {
    var inputs = CaseInputs(of: self, on: device, judging: device)
    return body(&inputs).map { "\($0.name): \($0.tensor.dtype) \($0.tensor.shape)" }
  }

  fileprivate func failures(
    of device: Device, against reference: Device, toleranceScale: Double
  ) -> [String] {
    let activationType = device.backend.activationType
    var referenceInputs = CaseInputs(of: self, on: reference, judging: device)
    let expected = body(&referenceInputs)
    for output in expected { device.poison(output.tensor.shape) }
    var inputs = CaseInputs(of: self, on: device, judging: device)
    let results = body(&inputs)
    guard results.map(\.name) == expected.map(\.name) else {
      return ["results are \(results.map(\.name)), not \(expected.map(\.name))"]
    }
    let relativeL2 = tolerance.relativeL2(activationType, scale: toleranceScale)
    let wrong = zip(results, expected).compactMap { result, expected in
      result.difference(from: expected, on: device, relativeL2: relativeL2)
        .map { "\(result.name): \($0)" }
    }
    return wrong + (inputs.wereWritten() ? ["an input was overwritten"] : [])
  }
}

extension CaseOutput {
  fileprivate func difference(
    from expected: CaseOutput, on device: Device, relativeL2: Double
  ) -> String? {
    let promised =
      switch kind {
      case .activation: device.backend.activationType
      case .stored(let dtype): dtype
      }
    guard tensor.dtype == promised else { return "is \(tensor.dtype), not \(promised)" }
    guard tensor.shape == expected.tensor.shape else {
      return "is \(tensor.shape), not \(expected.tensor.shape)"
    }
    if promised == .int32 {
      return tensor.indices() == expected.tensor.indices() ? nil : "other integers"
    }
    return mismatch(
      tensor, expected.tensor, relativeL2: relativeL2, floor: CaseTolerance.floor
    )?.description
  }
}

extension Device {
  /// Leaves NaN in memory that the next tensors of this shape are likely to be given, so that a
  /// result which is not written is seen.
  fileprivate func poison(_ shape: Shape) {
    for dtype in [DType.float32, backend.activationType] {
      let blocks = (0..<4).map { _ in Tensor(uninitialized: shape, dtype, on: backend) }
      let ones = [UInt8](repeating: 0xFF, count: shape.count * dtype.byteCount)
      for block in blocks {
        ones.withUnsafeBytes { backend.write($0, to: block.storage.memory, at: 0) }
      }
    }
  }
}
