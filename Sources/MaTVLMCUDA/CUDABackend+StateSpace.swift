import MaTVLMTensor

extension CUDABackend {
  package func stateSpaceDuality(
    _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    states: [Tensor]?
  ) -> Tensor {
    let scan = Scan(self, inputs, geometry, segments)
    let rows = segments.rows
    let y = empty([rows, geometry.heads * geometry.headWidth], inputs.x.dtype)
    guard rows > 0 else { return y }
    let kept = states.map { table(.addresses($0.map(\.address))) }
    if let kept, segments.lengths.allSatisfy({ $0 == 1 }) {
      launch(
        scan.source(.scan), "stateStep", grid: Grid(geometry.heads, rows),
        [
          .tensor(y), kept, .tensor(inputs.x), .tensor(inputs.b), .tensor(inputs.c),
          .tensor(inputs.dt), .tensor(inputs.dtBias), .tensor(inputs.aLog), .tensor(inputs.d),
          .int32(geometry.heads), .int32(geometry.groups),
        ])
      return y
    }
    let (steps, cumulative) = scan.steps()
    let entering = scan.enteringStates(steps, cumulative, kept: kept ?? .address(0))
    launch(
      scan.source(.scan), "chunkOutputs", grid: Grid(scan.chunkCount, geometry.heads),
      block: 2 * scan.chunk, sharedBytes: scan.outputSharedBytes,
      [
        .tensor(y), .tensor(inputs.x), .tensor(inputs.b), .tensor(inputs.c), .tensor(inputs.d),
        .tensor(steps), .tensor(cumulative), .tensor(entering), scan.chunks,
        .int32(geometry.heads), .int32(geometry.groups),
      ])
    return y
  }

  package func stateSpaceDualityGradient(
    _ dy: Tensor, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> StateSpaceInputs {
    let scan = Scan(self, inputs, geometry, segments)
    let type = sharedType("stateSpaceDualityGradient", dy, inputs.x)
    let (dx, db) = (empty(inputs.x.shape, type), empty(inputs.b.shape, type))
    let (dc, dDt) = (empty(inputs.c.shape, type), empty(inputs.dt.shape, type))
    let (steps, cumulative) = scan.steps()
    let entering = scan.enteringStates(steps, cumulative, kept: .address(0))
    let leaving = scan.leavingGradients(dy, steps, cumulative)
    let parts = (0..<3).map { _ in empty([scan.chunkCount, geometry.heads], .float32) }
    launch(
      scan.source(.scanGradient), "chunkGradients",
      grid: Grid(scan.chunkCount, geometry.groups), block: 2 * scan.chunk,
      sharedBytes: scan.gradientSharedBytes,
      [.tensor(dx), .tensor(db), .tensor(dc), .tensor(dDt)] + parts.map { .tensor($0) }
        + [
          .tensor(dy), .tensor(inputs.x), .tensor(inputs.b), .tensor(inputs.c),
          .tensor(inputs.dt), .tensor(inputs.dtBias), .tensor(inputs.aLog), .tensor(inputs.d),
          .tensor(steps), .tensor(cumulative), .tensor(entering), .tensor(leaving), scan.chunks,
          .int32(geometry.heads), .int32(geometry.groups),
        ])
    return StateSpaceInputs(
      x: dx, b: db, c: dc, dt: dDt, dtBias: sumRows(parts[0]), aLog: sumRows(parts[1]),
      d: sumRows(parts[2]))
  }
}

/// The steps that forward and backward share; chunks are as long as the kernels' tiles, whatever the
/// geometry asks, because the result does not depend on them.
private struct Scan {
  let backend: CUDABackend
  let inputs: StateSpaceInputs
  let geometry: StateSpaceGeometry
  let segments: Segments
  /// `Q` of scan.cu.
  let chunk: Int
  let chunkCount: Int
  let chunks: KernelArgument
  private let type: DType

  init(
    _ backend: CUDABackend, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry,
    _ segments: Segments
  ) {
    let rows = segments.rows
    require(
      inputs.x.shape == [rows, geometry.groups * geometry.headWidth]
        && inputs.b.shape == [rows, geometry.groups * geometry.stateWidth]
        && inputs.c.shape == [rows, geometry.heads * geometry.stateWidth]
        && inputs.dt.shape == [rows, geometry.heads],
      """
      stateSpaceDuality: x \(inputs.x.shape), b \(inputs.b.shape), c \(inputs.c.shape), \
      dt \(inputs.dt.shape), \(rows) rows, \(geometry)
      """)
    self.backend = backend
    self.inputs = inputs
    self.geometry = geometry
    self.segments = segments
    type = backend.sharedType("stateSpaceDuality", inputs.x, inputs.b, inputs.c, inputs.dt)
    chunk = type == .bfloat16 ? 64 : 32
    let all = 0..<segments.count
    chunkCount = backend.tileCount(segments, of: all, rows: chunk)
    chunks = backend.table(.tiles(segments, of: all, rows: chunk))
  }

  func source(_ file: KernelFile) -> KernelSource {
    var source = KernelSource(file, type)
    source.headWidth = geometry.headWidth
    source.stateWidth = geometry.stateWidth
    return source
  }

  /// Bytes of a shared row of x and of B.
  private var rowBytes: (x: Int, b: Int) {
    func padded(_ width: Int) -> Int { ((width + 15) / 16 * 16 + 8) * type.byteCount }
    return (padded(geometry.headWidth), padded(geometry.stateWidth))
  }
  private var stateBytes: Int { (geometry.headWidth + 15) / 16 * 16 * rowBytes.b }
  var outputSharedBytes: Int { chunk * (rowBytes.x + 2 * rowBytes.b) + stateBytes }
  var gradientSharedBytes: Int {
    2 * chunk * (rowBytes.x + rowBytes.b) + 2 * stateBytes + 4 * chunk * 4
  }

  /// Δ and its cumulative decay within each chunk, float32 [T, H] each.
  func steps() -> (steps: Tensor, cumulative: Tensor) {
    let shape = inputs.dt.shape
    let (steps, cumulative) = (backend.empty(shape, .float32), backend.empty(shape, .float32))
    backend.launch(
      source(.scan), "scanSteps", grid: Grid((geometry.heads + 127) / 128, chunkCount), block: 128,
      [
        .tensor(steps), .tensor(cumulative), .tensor(inputs.dt), .tensor(inputs.dtBias),
        .tensor(inputs.aLog), chunks, .int32(geometry.heads),
      ])
    return (steps, cumulative)
  }

  /// The state that enters each chunk, float32 [C, H, P, N].
  func enteringStates(_ steps: Tensor, _ cumulative: Tensor, kept: KernelArgument) -> Tensor {
    let states = outerProducts(
      (inputs.x, geometry.groups), (inputs.b, geometry.groups), steps, cumulative, outgoing: true)
    pass(states, cumulative, kept: kept, reverse: false)
    return states
  }

  /// The gradient of the state that leaves each chunk, float32 [C, H, P, N].
  func leavingGradients(_ dy: Tensor, _ steps: Tensor, _ cumulative: Tensor) -> Tensor {
    let states = outerProducts(
      (dy, geometry.heads), (inputs.c, geometry.heads), steps, cumulative, outgoing: false)
    pass(states, cumulative, kept: .address(0), reverse: true)
    return states
  }

  private func outerProducts(
    _ left: (rows: Tensor, heads: Int), _ right: (rows: Tensor, heads: Int), _ steps: Tensor,
    _ cumulative: Tensor, outgoing: Bool
  ) -> Tensor {
    let states = backend.empty(
      [chunkCount, geometry.heads, geometry.headWidth, geometry.stateWidth], .float32)
    backend.launch(
      source(.scan), "chunkOuterProducts", grid: Grid(chunkCount, geometry.heads),
      block: 2 * chunk, sharedBytes: chunk * (rowBytes.x + rowBytes.b),
      [
        .tensor(states), .tensor(left.rows), .int32(left.heads), .tensor(right.rows),
        .int32(right.heads), .tensor(steps), .tensor(cumulative), chunks,
        .int32(geometry.heads), .int32(outgoing ? 1 : 0),
      ])
    return states
  }

  private func pass(_ states: Tensor, _ cumulative: Tensor, kept: KernelArgument, reverse: Bool) {
    let elements = geometry.headWidth * geometry.stateWidth
    let block = 128
    let threads = elements % 4 == 0 ? elements / 4 : elements  // STATE_PACK of scan.cu
    backend.launch(
      source(.scan), "passStates",
      grid: Grid((threads + block - 1) / block, geometry.heads, segments.count), block: block,
      [
        .tensor(states), kept, .tensor(cumulative), chunks,
        backend.table(.tileStarts(segments, rows: chunk)), .int32(geometry.heads),
        .int32(reverse ? 1 : 0),
      ])
  }
}
