extension CountingBackend {
  package func vocabularyLoss(
    _ student: VocabularyHead, teacher: VocabularyHead?, _ request: VocabularyLossRequest
  ) -> VocabularyLossResult {
    let (rows, vocabulary) = (student.rows.shape.rows, student.weight.shape.rows)
    let (width, chunk) = (student.weight.shape.width, chunk(vocabulary))
    countLoss(student, teacher, request, chunk: min(rows, chunk))
    convertOnCard(student.weight)
    workOfLoss(min(rows, chunk), vocabulary, width)
    func vector(_ isWanted: Bool) -> Tensor? { isWanted ? new([rows], .float32, .losses) : nil }
    func gradient(_ isWanted: Bool, _ shape: Shape) -> Tensor? {
      isWanted ? new(shape, .float32, .gradients) : nil
    }
    return VocabularyLossResult(
      divergence: vector(teacher != nil), labelLoss: vector(request.labels != nil),
      rowsGradient: request.wantsRowsGradient ? new(student.rows.shape, nil, .losses) : nil,
      weightGradient: gradient(request.wantsWeightGradient, student.weight.shape),
      biasGradient: gradient(request.wantsBiasGradient, [vocabulary]))
  }

  /// Rows whose logits exist at once.
  private func chunk(_ vocabulary: Int) -> Int {
    isCard
      ? max(256, (256 << 20) / (8 * max(1, vocabulary)) / 256 * 256)
      : VocabularyWalk.chunk(vocabulary: vocabulary)
  }

  /// Logits of student and teacher, and either the rows of both or, on a card, the gradient.
  private func workOfLoss(_ rows: Int, _ vocabulary: Int, _ width: Int) {
    let logits = new([2 * rows, vocabulary], .float32, .losses)
    let other =
      isCard ? new([rows, vocabulary], nil, .losses) : new([2 * rows, width], nil, .losses)
    withExtendedLifetime((logits, other)) {}
  }

  private func countLoss(
    _ student: VocabularyHead, _ teacher: VocabularyHead?, _ request: VocabularyLossRequest,
    chunk: Int
  ) {
    let rows = student.rows.shape.rows
    guard rows > 0 else { return }
    let products =
      (teacher == nil ? 1.0 : 2.0) + (request.wantsRowsGradient ? 1 : 0)
      + (request.wantsWeightGradient ? 1 : 0)
    let part: Shape = [chunk, student.weight.shape.width]
    let hasBias = student.bias != nil
    var plain = request
    (plain.divergenceWeights, plain.labels, plain.labelWeights) = (nil, nil, nil)
    let settings = plain
    let hasTeacher = teacher != nil
    count(
      OperationCount(
        "vocabularyLoss", products * 2 * Double(rows) * elements(student.weight),
        [
          .init(student.weight), .init([student.weight.shape.rows]),
          .init(part, activationType), .init(part, activationType), .init([chunk]),
          .init([chunk], .int32),
        ],
        details: [rows, hasTeacher ? 1 : 0, hasBias ? 1 : 0, Int(products)],
        share: Double(chunk) / Double(rows)
      ) { backend, inputs in
        // As a rule both heads are the same weights.
        func head(_ rows: Tensor) -> VocabularyHead {
          VocabularyHead(rows: rows, weight: inputs[0], bias: hasBias ? inputs[1] : nil)
        }
        var request = settings
        request.divergenceWeights = hasTeacher ? inputs[4] : nil
        (request.labels, request.labelWeights) = (inputs[5], inputs[4])
        let result = backend.vocabularyLoss(
          head(inputs[2]), teacher: hasTeacher ? head(inputs[3]) : nil, request)
        return result.rowsGradient ?? result.labelLoss ?? inputs[4]
      })
  }

  package func distance(
    _ x: Tensor, _ target: Tensor, _ segments: Segments, weights: Tensor
  ) -> (norms: Tensor, gradient: Tensor) {
    count(
      OperationCount(
        "distance", 5 * elements(x), [.init(x), .init(target), .init(weights)],
        details: segments.lengths
      ) { $0.distance($1[0], $1[1], segments, weights: $1[2]).gradient })
    return (new([segments.count], .float32, .losses), new(x.shape, x.dtype, .losses))
  }

  package func sumOfSquares(_ tensors: [Tensor]) -> Tensor {
    countElements("sumOfSquares", 2, tensors, inputs: 1) { $0.sumOfSquares($1) }
    return new([1], .float32)
  }

  package func adamW(_ updates: [AdamWUpdate], _ step: AdamWStep) {
    assign(updates.map(\.gradient), to: .gradients)
    assign(updates.flatMap { [$0.firstMoment, $0.secondMoment] }, to: .moments)
    countElements("adamW", 12, updates.map(\.value), inputs: 4) { backend, inputs in
      backend.adamW(
        [
          AdamWUpdate(
            value: inputs[0], gradient: inputs[1], firstMoment: inputs[2],
            secondMoment: inputs[3], weightDecay: 0)
        ], step)
      return inputs[0]
    }
    forgetConverted(updates.map(\.value))
  }

  /// Counts an operation on every element of all tensors; the probe has one of `inputs` float32
  /// vectors, of bounded length.
  private func countElements(
    _ name: String, _ each: Double, _ tensors: [Tensor], inputs: Int,
    probe: @escaping @Sendable (any Backend, [Tensor]) -> Tensor
  ) {
    let elements = tensors.reduce(0) { $0 + $1.shape.count }
    guard elements > 0 else { return }
    let part = min(elements, 1 << 24)
    count(
      OperationCount(
        name, each * Double(elements), Array(repeating: .init([part]), count: inputs),
        details: [elements], share: Double(part) / Double(elements), probe: probe))
  }
}
