import MaTVLMCUDA
import MaTVLMCore
import MaTVLMTensor

/// Products and decoding with weights in 8 and 4 bits, beside what memory allows.
func measureQuantized(_ context: CheckContext) throws -> Bool {
  let device = try context.device(.bfloat16)
  let pass = MemoryPass(device)
  _ = pass.bytesPerSecond()  // kernels are compiled
  let bandwidth = pass.bytesPerSecond()
  report("memory", "\(fixed(bandwidth / 1e12)) TB/s")
  for (name, code) in [("int8", Quantization.Code.int8), ("int4", .int4)] {
    let model = try VisionLanguageModel.random(
      ModelSizes(), matrices: .quantized(Quantization(code)), on: device)
    try measureDecoding(model.decoder, name, bandwidth, context)
  }
  try device.check()
  for code in Quantization.Code.allCases {
    try measureProducts(Quantization(code), device, bandwidth, context)
  }
  return true
}

/// As ``measureDecoding(_:)`` does with weights in bfloat16.
private func measureDecoding(
  _ decoder: HybridDecoder, _ name: String, _ bandwidth: Double, _ context: CheckContext
) throws {
  for length in [512, 16384] {
    var states = [decoder.makeState(capacity: length + 128, zeroRows: length)]
    var step = DecodingStep(decoder, sequences: 1)
    let seconds = try medianSeconds(
      on: decoder.embedding.weight.value.device, repeats: 3, inner: 24
    ) {
      _ = step([17], states: &states).mostLikely.indices()
    }
    let limit = bandwidth / bytesRead(by: decoder, after: length)
    let speed = "\(fixed(1 / seconds, 1)) tokens/s"
    let part = "\(fixed(100 / seconds / limit, 1)) %"
    report("decode teacher \(name), context \(length)", speed, "\(part) of the memory limit")
    context.table.add(
      "quantized", "decode teacher \(name), context \(length)", speed,
      "memory allows \(fixed(limit, 0)): \(part)", .measured)
  }
}

/// Rates of products of few rows and of many.
private func measureProducts(
  _ quantization: Quantization, _ device: Device, _ bandwidth: Double, _ context: CheckContext
) throws {
  let type = DType.quantized(quantization)
  let backend = device.backend
  for (outputs, inputs) in [(10240, 2560), (2560, 10240), (51200, 2560)] {
    let bytes = Double(type.byteCount(of: [outputs, inputs]))
    let source = random([outputs, inputs], .bfloat16, device)
    // Enough copies that weights come from memory, not from the second-level cache.
    let weights = (0..<max(1, Int(400e6 / bytes))).map { _ in backend.convert(source, to: type) }
    for rows in [1, 4, 16, 32, 33, 4096] where rows < 4096 || outputs < 51200 {
      let x = random([rows, inputs], .bfloat16, device)
      let seconds =
        try medianSeconds(on: device) {
          for weight in weights { _ = backend.linear(x, weight, nil) }
        } / Double(weights.count)
      let rate = bytes / seconds
      report(
        "\(quantization.code) \(rows) x \(inputs) -> \(outputs)", "\(fixed(seconds * 1e6, 1)) us",
        "\(fixed(rate / 1e12)) TB/s", "\(fixed(100 * rate / bandwidth, 1)) % of memory")
    }
  }
}
