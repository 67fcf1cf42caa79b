import MaTVLMCUDA
import MaTVLMCore
import MaTVLMMamba
import MaTVLMTensor

/// Phi-2's decoder with random weights, as teacher and as 25 % student.
private struct Decoders {
  let device: Device
  let teacher: HybridDecoder
  let student: HybridDecoder

  init(_ context: CheckContext) throws {
    device = try context.device(.bfloat16)
    let text = try ModelSizes().configuration().text
    teacher = try HybridDecoder(
      ParameterSource.fresh(seed: 1, matrices: .bfloat16, on: device)["language_model"], text)
    let mamba = Mamba2Configuration(
      modelWidth: text.hiddenSize, heads: text.heads, keyValueHeads: text.keyValueHeads)
    student = teacher.replacingAttention(
      at: Array(stride(from: 0, to: text.layers, by: 4)), with: mamba, .paper, seed: 2)
    // As a student that was trained and saved: matrices in bfloat16.
    for parameter in student.parameters where parameter.shape.dimensions.count == 2 {
      parameter.assign(device.backend.convert(parameter.value.detached, to: .bfloat16))
    }
    try device.check()
  }

  var backend: CUDABackend { device.backend as! CUDABackend }

  /// A prompt of text.
  func prompt(_ rows: Int) -> SplicedSequences {
    SplicedSequences([(0..<rows).map { $0 * 7919 % 50000 }], tokensPerPicture: 0)
  }
}

/// Bytes that are read for the token after `rows` rows.
func bytesRead(by decoder: HybridDecoder, after rows: Int) -> Double {
  Double(decoder.weightBytesPerToken + decoder.stateByteCount(capacity: rows))
}

/// Tokens a second of one sequence, the most likely token brought to the host after each.
func measureDecoding(_ context: CheckContext) throws -> Bool {
  let decoders = try Decoders(context)
  for length in [512, 4096, 16384, 32768] {
    for (name, decoder) in [("teacher", decoders.teacher), ("student", decoders.student)] {
      _ = decoders.backend.takeMemoryPeak()
      var states = [decoder.makeState(capacity: length + 128)]
      let stateBytes = states[0].byteCount
      _ = decoder.readPrompts(
        decoders.prompt(length), images: nil, states: &states, betweenBlocks: {})
      var step = DecodingStep(decoder, sequences: 1)
      let seconds = try medianSeconds(on: decoders.device, repeats: 3, inner: 24) {
        _ = step([17], states: &states).mostLikely.indices()
      }
      let rate = bytesRead(by: decoder, after: length) / seconds
      report(
        "decode \(name), context \(length)", "\(fixed(1 / seconds, 1)) tokens/s",
        "\(fixed(seconds * 1e3, 3)) ms", "\(fixed(rate / 1e12)) TB/s",
        "state \(stateBytes >> 20) MiB")
      context.table.add(
        "decode", "\(name), context \(length)", 1 / seconds, "tokens/s",
        against: .decoding(name, context: length))
    }
  }
  return true
}

/// Time until the first token of a long prompt.
func measurePrompts(_ context: CheckContext) throws -> Bool {
  let decoders = try Decoders(context)
  for length in [4096, 16384, 32768] {
    for (name, decoder) in [("teacher", decoders.teacher), ("student", decoders.student)] {
      _ = decoders.backend.takeMemoryPeak()
      let seconds = try medianSeconds(on: decoders.device, repeats: 3) {
        var states = [decoder.makeState(capacity: length + 16)]
        let last = decoder.readPrompts(
          decoders.prompt(length), images: nil, states: &states, betweenBlocks: {})
        _ = decoder.head(last).array()
      }
      let peak = decoders.backend.takeMemoryPeak().peak
      report(
        "prompt \(name), \(length) rows", "\(fixed(seconds * 1e3, 1)) ms",
        "peak \(peak >> 20) MiB")
      context.table.add(
        "prompt", "\(name), \(length) rows", seconds * 1e3, "ms",
        against: .prompt(name, rows: length))
    }
  }
  return true
}

/// Packed sequences of 1428 rows for the paper's recipe, without pictures.
private func distillation(sequences: Int, on device: Device) throws -> DistillationBenchmark {
  var sizes = ModelSizes()
  (sizes.vision.hidden, sizes.vision.intermediate, sizes.vision.layers) = (16, 16, 1)
  sizes.vision.heads = 1
  return try DistillationBenchmark(
    sizes, every: 4, sequences: sequences, length: 1428, matrices: .bfloat16, on: device)
}

/// Where the card's time goes in an update and in a token's step with weights in 4 bits, by kernel and by
/// shape of products.
func profileWork(_ context: CheckContext) throws -> Bool {
  let device = try context.device(.bfloat16)
  let benchmark = try distillation(sequences: 4, on: device)
  _ = try benchmark.run(repeats: 1)
  try profile("several updates", on: device) { _ = try benchmark.run(repeats: 1) }
  let decoder = try VisionLanguageModel.random(
    ModelSizes(), matrices: .quantized(Quantization(.int4)), on: device
  ).decoder
  var states = [decoder.makeState(capacity: 600, zeroRows: 512)]
  func step() {
    _ = withoutGradients {
      decoder.readPrompts(
        SplicedSequences([[17]], tokensPerPicture: 0), images: nil, states: &states,
        betweenBlocks: {})
    }
  }
  step()
  try profile("one token after 512, int4", on: device) { step() }
  return true
}

private func profile(_ name: String, on device: Device, _ work: () throws -> Void) throws {
  let times = try (device.backend as! CUDABackend).profile(work)
  try device.check()
  let total = times.reduce(0) { $0 + $1.seconds }
  report(name, "\(fixed(total * 1e3, 1)) ms")
  for time in times where time.seconds > total / 1000 {
    report(
      time.name, "\(fixed(time.seconds / total * 100, 1)) %", "\(time.launches) launches",
      "\(fixed(time.seconds / Double(time.launches) * 1e6, 1)) us each")
  }
}

/// One update of the paper's recipe on packed sequences.
func measureDistillation(_ context: CheckContext) throws -> Bool {
  let device = try context.device(.bfloat16)
  for count in [1, 4] {
    let benchmark = try distillation(sequences: count, on: device)
    let backend = device.backend as! CUDABackend
    _ = backend.takeMemoryPeak()
    let result = try benchmark.run(repeats: 7)
    try device.check()
    let part = "\(fixed(100 * result.fractionOfLimit, 0)) %"
    let rate = "\(fixed(result.operations / result.seconds / 1e12, 0)) TFLOP/s"
    report(
      "distil \(count) x 1428", "\(fixed(result.seconds * 1e3, 1)) ms",
      "\(fixed(result.tokensPerSecond, 0)) tokens/s", "\(rate), \(part) of products alone",
      "peak \(backend.takeMemoryPeak().peak >> 20) MiB")
    context.table.add(
      "distil", "\(count) x 1428", result.seconds * 1e3, "ms",
      against: .distillation(sequences: count))
    context.table.add(
      "distil", "\(count) x 1428, needed operations", "\(rate), \(part)",
      "products alone \(fixed(result.limit / 1e12, 0)) TFLOP/s, half asked of 4 x 1428",
      count < 4 ? .measured : result.fractionOfLimit >= 0.5 ? .reached : .missed)
  }
  return true
}
