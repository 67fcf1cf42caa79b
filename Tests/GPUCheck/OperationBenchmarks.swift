import MaTVLMCUDA
import MaTVLMTensor

/// Rates of single operations at Phi-2's sizes.
func measureOperations(_ context: CheckContext) throws -> Bool {
  let device = try context.device(.bfloat16)
  let backend = device.backend
  func activations(_ rows: Int, _ width: Int) -> Tensor {
    random([rows, width], .bfloat16, device)
  }

  for rows in [1, 4, 16, 4096] {
    for (outputs, inputs) in [(2560, 2560), (10240, 2560), (2560, 10240), (51200, 2560)] {
      if rows == 4096 && outputs == 51200 { continue }
      // Enough copies that weights come from memory, not from the second-level cache.
      let copies = max(1, 400_000_000 / (2 * outputs * inputs))
      let weights = (0..<copies).map { _ in random([outputs, inputs], .bfloat16, device) }
      let bias = random([outputs], .float32, device)
      let x = activations(rows, inputs)
      let seconds =
        try medianSeconds(on: device) {
          for weight in weights { _ = backend.linear(x, weight, bias) }
        } / Double(copies)
      let bytes = 2 * Double(outputs * inputs)
      report(
        "linear \(rows) x \(inputs) -> \(outputs)", "\(fixed(seconds * 1e6, 1)) us",
        "\(fixed(bytes / seconds / 1e12)) TB/s",
        "\(fixed(2 * Double(rows) * bytes / 2 / seconds / 1e12, 1)) TFLOP/s")
    }
  }
  try measureAttention(device)
  try measureScan(device)
  for (rows, width) in [(4096, 2560)] {
    let x = activations(rows, width)
    let ones = random([width], .float32, device)
    let bytes = 2 * 2 * Double(rows * width)
    let norm = try medianSeconds(on: device, inner: 20) {
      _ = backend.layerNorm(x, ones, ones, epsilon: 1e-5)
    }
    report("layerNorm \(rows) x \(width)", "\(fixed(bytes / norm / 1e12)) TB/s")
    let sum = try medianSeconds(on: device, inner: 20) { _ = backend.add(x, x) }
    report("add \(rows) x \(width)", "\(fixed(1.5 * bytes / sum / 1e12)) TB/s")
    let gelu = try medianSeconds(on: device, inner: 20) { _ = backend.activate(x, .geluTanh) }
    report("gelu \(rows) x \(width)", "\(fixed(bytes / gelu / 1e12)) TB/s")
  }
  return true
}

private func measureAttention(_ device: Device) throws {
  let backend = device.backend
  for (heads, width, rows, causal) in [
    (32, 80, 4096, true), (32, 80, 16384, true), (16, 72, 729 * 4, false), (32, 128, 8192, true),
  ] {
    let geometry = AttentionGeometry(
      heads: heads, keyValueHeads: heads, headWidth: width,
      scale: 1 / Float(width).squareRoot(), isCausal: causal)
    let segments = Segments(causal ? [rows] : [729, 729, 729, 729])
    let q = random([rows, heads * width], .bfloat16, device)
    let k = random([rows, heads * width], .bfloat16, device)
    let v = random([rows, heads * width], .bfloat16, device)
    let pairs = segments.lengths.reduce(0.0) { $0 + Double($1 * $1) } * (causal ? 0.5 : 1)
    let operations = 4 * pairs * Double(heads * width)
    let forward = try medianSeconds(on: device) {
      _ = backend.attention(q, k, v, geometry, segments)
    }
    let (output, logs) = backend.attention(q, k, v, geometry, segments)
    let backward = try medianSeconds(on: device) {
      _ = backend.attentionGradient(
        q, q, k, v, output: output, logSumExp: logs, geometry, segments)
    }
    report(
      "attention \(segments.lengths), \(heads) x \(width)", "\(fixed(forward * 1e3)) ms",
      "\(fixed(operations / forward / 1e12, 1)) TFLOP/s",
      "gradient \(fixed(backward * 1e3)) ms",
      "\(fixed(2.5 * operations / backward / 1e12, 1)) TFLOP/s")
  }
  for context in [512, 4096, 16384, 65536] {
    let geometry = AttentionGeometry(
      heads: 32, keyValueHeads: 32, headWidth: 80, scale: 0.1, isCausal: true)
    let caches = (0..<4).map { _ in random([context, 2560], .bfloat16, device) }
    let q = random([1, 2560], .bfloat16, device)
    let positions = Tensor(indices: [context - 1], on: device)
    let seconds =
      try medianSeconds(on: device) {
        for i in 0..<20 {
          _ = backend.cachedAttention(
            q, keys: [caches[i % 4]], values: [caches[(i + 1) % 4]], positions: positions, geometry,
            Segments([1]))
        }
      } / 20
    report(
      "decode attention, context \(context)", "\(fixed(seconds * 1e6, 1)) us",
      "\(fixed(2 * 2 * 2560 * Double(context) / seconds / 1e12)) TB/s")
  }
}

private func measureScan(_ device: Device) throws {
  let (heads, width, rows) = (32, 80, 5712)
  let segments = Segments(repeating: 1428, count: 4)
  func part(_ columns: Int) -> Tensor { random([rows, columns], .bfloat16, device) }
  func vector() -> Tensor { random([heads], .float32, device) }
  let inputs = StateSpaceInputs(
    x: part(heads * width), b: part(heads * width), c: part(heads * width), dt: part(heads),
    dtBias: vector(), aLog: vector(), d: vector())
  let geometry = StateSpaceGeometry(
    heads: heads, groups: heads, headWidth: width, stateWidth: width, chunk: 256)
  let backend = device.backend
  let forward = try medianSeconds(on: device) {
    _ = backend.stateSpaceDuality(inputs, geometry, segments, states: nil)
  }
  let dy = part(heads * width)
  let backward = try medianSeconds(on: device) {
    _ = backend.stateSpaceDualityGradient(dy, inputs, geometry, segments)
  }
  report(
    "scan 4 x 1428, 32 x 80 x 80", "\(fixed(forward * 1e3)) ms",
    "gradient \(fixed(backward * 1e3)) ms")
}

/// Normal-like numbers that are cheap to make: sums of a table's entries.
func random(_ shape: Shape, _ dtype: DType, _ device: Device) -> Tensor {
  var generator = RandomGenerator(seed: UInt64(shape.count))
  let table = (0..<4099).map { _ in Float(generator.normal()) }
  var at = Int(generator.next() % 4099)
  let values = (0..<shape.count).map { _ in
    at = at &* 5 &+ 3
    if at > 1 << 40 { at %= 4099 }
    return table[at % 4099]
  }
  let tensor = Tensor(values, shape, on: device)
  return dtype == .float32 ? tensor : device.backend.convert(tensor, to: dtype)
}
