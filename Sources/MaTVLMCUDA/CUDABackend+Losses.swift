import MaTVLMTensor

extension CUDABackend {
  package func vocabularyLoss(
    _ student: VocabularyHead, teacher: VocabularyHead?, _ request: VocabularyLossRequest
  ) -> VocabularyLossResult {
    let walk = VocabularyWalk(self, student, teacher, request)
    return walk.run()
  }

  package func argmaxRows(_ x: Tensor) -> Tensor {
    let columns = empty([x.shape.rows], .int32)
    launch(
      .reductions, "argmaxRows", x.dtype, grid: Grid(x.shape.rows), block: 1024,
      [.tensor(columns), .tensor(x), .int32(x.shape.width)])
    return columns
  }

  package func distance(
    _ x: Tensor, _ target: Tensor, _ segments: Segments, weights: Tensor
  ) -> (norms: Tensor, gradient: Tensor) {
    require(
      x.shape == target.shape && segments.rows == x.shape.rows
        && weights.shape.count == segments.count,
      "distance: x \(x.shape), target \(target.shape), weights \(weights.shape)")
    let type = sharedType("distance", x, target)
    let shares = 64
    let partials = empty([segments.count, shares, 2], .float32)  // doubles [S, shares]
    let norms = empty([segments.count], .float32)
    launch(
      .reductions, "squaredDistances", type, grid: Grid(shares, segments.count),
      [
        .tensor(partials), .tensor(x), .tensor(target), table(.starts(segments)),
        .int32(x.shape.width),
      ])
    launch(
      .reductions, "distances", type, grid: Grid(segments.count),
      [.tensor(norms), .tensor(partials), .int32(shares)])
    let gradient = empty(x.shape, type)
    launch(
      .reductions, "distanceGradient", type, grid: Grid(x.shape.rows),
      [
        .tensor(gradient), .tensor(x), .tensor(target), .tensor(norms), .tensor(weights),
        table(.owners(segments)), .int32(x.shape.width),
      ])
    return (norms, gradient)
  }
}

/// One walk over the rows of a loss over the vocabulary, chunk by chunk.
private struct VocabularyWalk {
  private let backend: CUDABackend
  private let student: PreparedHead
  private let teacher: PreparedHead?
  private let request: VocabularyLossRequest
  private let type: DType
  private let (rows, width, vocabulary): (Int, Int, Int)
  /// Rows whose logits exist at once; a multiple of 256, so that every chunk's rows are aligned.
  private let chunk: Int

  private static let logitBytes = 256 << 20

  init(
    _ backend: CUDABackend, _ student: VocabularyHead, _ teacher: VocabularyHead?,
    _ request: VocabularyLossRequest
  ) {
    self.backend = backend
    type = backend.sharedType("vocabularyLoss", student.rows, teacher?.rows)
    self.student = PreparedHead(student, on: backend)
    self.teacher = teacher.map { PreparedHead($0, on: backend) }
    self.request = request
    rows = student.rows.shape.rows
    (vocabulary, width) = (student.weight.shape.rows, student.weight.shape.width)
    chunk = max(256, Self.logitBytes / (8 * max(1, vocabulary)) / 256 * 256)
    let extents = [rows, vocabulary]
    require(
      student.rows.shape.width == width
        && teacher.map { [$0.rows.shape.rows, $0.weight.shape.rows] == extents } ?? true,
      "vocabularyLoss: rows \(student.rows.shape), weight \(student.weight.shape)")
  }

  private var wantsGradient: Bool {
    request.wantsRowsGradient || request.wantsWeightGradient || request.wantsBiasGradient
  }

  func run() -> VocabularyLossResult {
    func wanted(_ isWanted: Bool, _ shape: Shape, _ type: DType = .float32) -> Tensor? {
      isWanted ? (rows > 0 ? backend.empty(shape, type) : backend.zeros(shape, type)) : nil
    }
    let result = VocabularyLossResult(
      divergence: wanted(teacher != nil, [rows]),
      labelLoss: wanted(request.labels != nil, [rows]),
      rowsGradient: wanted(request.wantsRowsGradient, student.rows.shape, type),
      weightGradient: wanted(request.wantsWeightGradient, [vocabulary, width]),
      biasGradient: nil)
    var biasParts: [Tensor] = []
    for first in stride(from: 0, to: rows, by: chunk) {
      let part = first..<min(rows, first + chunk)
      if let dLogits = losses(of: part, into: result) {
        gradients(of: part, dLogits, into: result)
        if request.wantsBiasGradient { biasParts.append(backend.sumRows(dLogits)) }
      }
    }
    guard request.wantsBiasGradient else { return result }
    return VocabularyLossResult(
      divergence: result.divergence, labelLoss: result.labelLoss,
      rowsGradient: result.rowsGradient, weightGradient: result.weightGradient,
      biasGradient: biasParts.dropFirst().reduce(
        biasParts.first ?? backend.zeros([vocabulary], .float32), backend.add))
  }

  /// float32 [R, V] for some rows of a head.
  private func logits(_ head: PreparedHead, _ part: Range<Int>) -> Tensor {
    let logits = backend.empty([part.count, vocabulary], .float32)
    var shape = MatrixProduct(
      rows: part.count, columns: vocabulary, inner: head.weight.shape.width,
      transposesSecond: true, input: head.rows.dtype, output: .float32)
    backend.multiply(
      shape, address(head.rows, part), head.weight.address, bias: head.bias,
      into: logits.address)
    if let remainder = head.remainder {
      shape.accumulates = true
      backend.multiply(
        shape, address(head.rows, part), remainder.address, into: logits.address)
    }
    return logits
  }

  /// Losses of some rows; the gradient of their logits [R, V] where one is wanted.
  private func losses(of part: Range<Int>, into result: VocabularyLossResult) -> Tensor? {
    let own = logits(student, part)
    let other = teacher.map { logits($0, part) }
    let dLogits = wantsGradient ? backend.empty(own.shape, type) : nil
    func at(_ vector: Tensor?) -> KernelArgument {
      .address(vector.map { address($0, part) } ?? 0)
    }
    backend.launch(
      .losses, "vocabularyLoss", type, grid: Grid(part.count), block: 1024,
      [
        at(result.divergence), at(result.labelLoss), .tensor(dLogits), .tensor(own),
        .tensor(other), at(request.divergenceWeights), at(request.labels),
        at(request.labelWeights), .int32(vocabulary), .int32(request.divergence.kernelCode),
        .float(request.temperature),
      ])
    return dLogits
  }

  private func gradients(
    of part: Range<Int>, _ dLogits: Tensor, into result: VocabularyLossResult
  ) {
    if let gradient = result.rowsGradient {
      let shape = MatrixProduct(
        rows: part.count, columns: width, inner: vocabulary, input: type, output: type)
      backend.multiply(
        shape, dLogits.address, student.weight.address, into: address(gradient, part))
    }
    if let gradient = result.weightGradient {
      var shape = MatrixProduct(
        rows: vocabulary, columns: width, inner: part.count, transposesFirst: true, input: type,
        output: .float32)
      shape.accumulates = part.lowerBound > 0
      backend.multiply(
        shape, dLogits.address, address(student.rows, part), into: gradient.address)
    }
  }

  /// Where the first of some rows lies.
  private func address(_ tensor: Tensor, _ part: Range<Int>) -> UInt64 {
    tensor.address + UInt64(part.lowerBound * tensor.shape.width * tensor.dtype.byteCount)
  }
}

/// A head with its weights in the type of the rows, converted once and not for each chunk.
private struct PreparedHead {
  let rows: Tensor
  let weight: Tensor
  /// What float32 weights lose by being rounded: distributions are sharp, so logits need it.
  let remainder: Tensor?
  let bias: Tensor?

  init(_ head: VocabularyHead, on backend: CUDABackend) {
    (rows, bias) = (head.rows, head.bias)
    weight = backend.converted(head.weight, to: rows.dtype)
    guard head.weight.dtype == .float32, rows.dtype != .float32 else {
      remainder = nil
      return
    }
    let rounded = backend.convert(weight, to: .float32)
    remainder = backend.convert(
      backend.add(head.weight, backend.scale(rounded, by: -1)), to: rows.dtype)
  }
}

extension Divergence {
  fileprivate var kernelCode: Int {
    switch self {
    case .forward: 0
    case .reverse: 1
    case .jensenShannon: 2
    case .jensenShannonAuthors: 3
    case .teacherArgmax: 4
    case .logitDistance: 5
    }
  }
}
