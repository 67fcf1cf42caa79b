import CMaTVLMKernels

/// One walk over the rows for ``CPUBackend/vocabularyLoss(_:teacher:_:)``, chunk by chunk.
struct VocabularyWalk: Sendable {
  let backend: CPUBackend
  let student: VocabularyHead
  let teacher: VocabularyHead?
  let request: VocabularyLossRequest
  let result: VocabularyLossResult
  /// Rows whose logits exist at once.
  let chunk: Int
  /// [2 · chunk, V]: the student's logits, then the teacher's, which give way to the gradient.
  private let logits: Tensor
  private let wantsGradient: Bool
  /// Whether both heads are the same weights, so that one product makes all logits.
  private let sharesHead: Bool

  /// Bytes of logits at most.
  private static let logitBytes = 64 << 20

  /// Rows whose logits exist at once.
  static func chunk(vocabulary: Int) -> Int {
    min(512, max(16, logitBytes / (2 * 4 * max(1, vocabulary)) / 16 * 16))
  }

  init(
    _ backend: CPUBackend, _ student: VocabularyHead, _ teacher: VocabularyHead?,
    _ request: VocabularyLossRequest
  ) {
    Self.check(student, teacher, request)
    (self.backend, self.student, self.teacher) = (backend, student, teacher)
    self.request = request
    let (rows, vocabulary) = (student.rows.shape.rows, student.weight.shape.rows)
    chunk = Self.chunk(vocabulary: vocabulary)
    logits = Tensor(uninitialized: [2 * min(chunk, rows), vocabulary], on: backend)
    sharesHead =
      teacher.map {
        $0.weight.storage === student.weight.storage
          && $0.bias?.storage === student.bias?.storage
      } ?? false
    wantsGradient =
      request.wantsRowsGradient || request.wantsWeightGradient || request.wantsBiasGradient
    func new(_ wanted: Bool, _ shape: Shape) -> Tensor? {
      wanted ? backend.zeros(shape, .float32) : nil
    }
    result = VocabularyLossResult(
      divergence: new(teacher != nil, [rows]),
      labelLoss: new(request.labels != nil, [rows]),
      rowsGradient: new(request.wantsRowsGradient, student.rows.shape),
      weightGradient: new(request.wantsWeightGradient, student.weight.shape),
      biasGradient: new(request.wantsBiasGradient, [vocabulary]))
  }

  private static func check(
    _ student: VocabularyHead, _ teacher: VocabularyHead?, _ request: VocabularyLossRequest
  ) {
    let (rows, vocabulary) = (student.rows.shape.rows, student.weight.shape.rows)
    for head in [student, teacher].compactMap({ $0 }) {
      require(
        head.rows.shape == [rows, head.weight.shape.width]
          && head.weight.shape == [vocabulary, head.weight.shape.width]
          && head.bias.map { $0.shape == [vocabulary] } ?? true,
        """
        vocabularyLoss: rows \(head.rows.shape), weight \(head.weight.shape), \
        bias \(head.bias?.shape ?? []), where the student has \(rows) rows, \(vocabulary) columns
        """)
    }
    for vector in [request.divergenceWeights, request.labels, request.labelWeights] {
      require(
        vector.map { $0.shape == [rows] } ?? true,
        "vocabularyLoss: \(vector?.shape ?? []) labels or weights for \(rows) rows")
    }
    require(request.temperature > 0, "vocabularyLoss: temperature \(request.temperature)")
  }

  /// Losses and gradients of some rows.
  func run(_ rows: Range<Int>) {
    makeLogits(rows)
    backend.parallel(rows.count, grain: CPUBackend.rowGrain(4 * logits.shape.width)) { range in
      for index in range {
        takeLosses(
          of: rows.lowerBound + index, FloatRows(logits).row(index),
          FloatRows(logits).row(rows.count + index))
      }
    }
    let gradient = FloatRows(logits, rows.count..<2 * rows.count)
    if let sum = result.rowsGradient {
      backend.multiplyBack(gradient, student.weight, into: FloatRows(sum, rows))
    }
    if let sum = result.weightGradient {
      backend.weightGradient(
        gradient, FloatRows(student.rows, rows), adding: true,
        into: sum.reshaped(Shape([1] + sum.shape.dimensions)))
    }
    if let sum = result.biasGradient { backend.addRows(logits, gradient.range, to: sum) }
  }

  private func makeLogits(_ rows: Range<Int>) {
    let count = rows.count
    guard let teacher, sharesHead else {
      for (index, head) in [student, teacher].enumerated() {
        guard let head else { continue }
        backend.multiply(
          FloatRows(head.rows, rows), head.weight, head.bias,
          into: FloatRows(logits, index * count..<(index + 1) * count))
      }
      return
    }
    // Both at once, so that weights are unpacked once.
    let width = student.rows.shape.width
    let stacked = Tensor(uninitialized: [2 * count, width], on: backend)
    for (index, source) in [student.rows, teacher.rows].enumerated() {
      FloatRows(stacked).row(index * count)
        .update(from: FloatRows(source, rows).row(0), count: count * width)
    }
    backend.multiply(
      FloatRows(stacked), student.weight, student.bias, into: FloatRows(logits, 0..<2 * count))
  }

  // MARK: One row

  private typealias Row = UnsafeMutablePointer<Float>

  /// - Parameters:
  ///   - student: its logits [V].
  ///   - other: the teacher's logits [V], which give way to the gradient.
  private func takeLosses(of row: Int, _ student: Row, _ other: Row) {
    let partition = backend.kernels.loss.log_partition(student, Int64(logits.shape.width), 1)
    if let losses = result.divergence {
      losses.floats[row] = Float(divergence(of: row, student, partition, other))
    }
    if wantsGradient && (teacher == nil || request.divergenceWeights == nil) {
      other.update(repeating: 0, count: logits.shape.width)
    }
    if let labels = request.labels, let losses = result.labelLoss {
      let label = Int(labels.int32s[row])
      let weight = request.labelWeights?.floats[row]
      losses.floats[row] =
        label < 0 ? 0 : crossEntropy(student, partition, label, weight, addingTo: other)
    }
  }

  /// The divergence of one row; its gradient, if it has one, takes the teacher's place.
  private func divergence(
    of row: Int, _ student: Row, _ partition: matvlm_log_partition, _ teacher: Row
  ) -> Double {
    let weight = wantsGradient ? request.divergenceWeights?.floats[row] : nil
    let (kernels, width) = (backend.kernels, Int64(logits.shape.width))
    func softened(_ kind: matvlm_divergence) -> Double {
      let (temperature, factor) = (request.temperature, 1 / request.temperature)
      let value = kernels.loss.divergence(
        student, factor == 1 ? partition : kernels.loss.log_partition(student, width, factor),
        teacher, kernels.loss.log_partition(teacher, width, factor),
        width, factor, (weight ?? 0) * temperature, weight == nil ? nil : teacher, kind)
      return value * Double(temperature) * Double(temperature)
    }
    switch request.divergence {
    case .forward: return softened(MATVLM_FORWARD)
    case .reverse: return softened(MATVLM_REVERSE)
    case .jensenShannon: return softened(MATVLM_JENSEN_SHANNON)
    case .jensenShannonAuthors: return softened(MATVLM_JENSEN_SHANNON_AUTHORS)
    case .teacherArgmax:
      let likeliest = (0..<Int(width)).max { teacher[$0] < teacher[$1] } ?? 0
      if weight != nil { teacher.update(repeating: 0, count: Int(width)) }
      return Double(crossEntropy(student, partition, likeliest, weight, addingTo: teacher))
    case .logitDistance:
      let value = kernels.loss.squared_distance(student, teacher, width) / 2
      if let weight {
        kernels.elementwise.scale_difference(student, teacher, weight, teacher, width)
      }
      return value
    }
  }

  /// −log softmax(logits)[label]; with a weight, its gradient is added to `gradient`.
  private func crossEntropy(
    _ student: Row, _ partition: matvlm_log_partition, _ label: Int, _ weight: Float?,
    addingTo gradient: Row
  ) -> Float {
    let width = logits.shape.width
    require(label < width, "vocabularyLoss: label \(label) of \(width)")
    if wantsGradient, let weight {
      backend.kernels.loss.add_softmax(student, partition, Int64(width), weight, gradient)
      gradient[label] -= weight
    }
    return partition.log_sum - (student[label] - partition.maximum)
  }
}
