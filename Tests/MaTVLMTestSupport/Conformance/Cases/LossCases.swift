import MaTVLMTensor

extension OperationCase {
  private enum Wish: String, CaseIterable {
    case values, rows, weights, all
  }

  fileprivate struct LossExtent {
    var rows = 5
    var width = 12
    var teacherWidth = 20
    var vocabulary = 37
    var weightType = DType.float32
    var hasBiases = true
    /// Whether the teacher has the student's head, as when only mixers differ.
    var sharesHead = false
    var deviation = 2.0
  }

  static let divergences: [OperationCase] = Divergence.allCases.flatMap { divergence in
    [Float(1), 2].flatMap { temperature in
      [true, false].flatMap { hasLabels in
        Wish.allCases.map { wish in
          let labels = hasLabels ? "labels" : "no labels"
          return OperationCase(
            "vocabularyLoss \(divergence), temperature \(temperature), \(labels), gets \(wish)",
            .chain
          ) { inputs in
            var request = VocabularyLossRequest()
            (request.divergence, request.temperature) = (divergence, temperature)
            return losses(
              LossExtent(), request, hasTeacher: true, hasLabels: hasLabels, wish, &inputs)
          }
        }
      }
    }
  }

  static let vocabularies: [OperationCase] = [
    LossExtent(rows: 0), LossExtent(rows: 1, vocabulary: 1037),
    LossExtent(rows: 7, width: 33, vocabulary: 1037, weightType: .bfloat16),
    LossExtent(rows: 7, width: 33, vocabulary: 1037, weightType: .float16, hasBiases: false),
    LossExtent(rows: 70, width: 24, teacherWidth: 24, vocabulary: 129, hasBiases: false),
    LossExtent(rows: 1100, width: 8, teacherWidth: 8, vocabulary: 65),
    LossExtent(rows: 40, vocabulary: 129, sharesHead: true),
    LossExtent(rows: 40, vocabulary: 129, hasBiases: false, sharesHead: true),
  ].flatMap { extent in
    [(true, true), (true, false), (false, true)].map { hasTeacher, hasLabels in
      let against = [hasTeacher ? "teacher" : nil, hasLabels ? "labels" : nil].compactMap { $0 }
      return OperationCase(
        "vocabularyLoss \(extent.rows) rows, \(extent.vocabulary) tokens, \(extent.weightType), "
          + "\(extent.hasBiases ? "biases" : "no biases"), "
          + "\(extent.sharesHead ? "one head" : "two heads"), against \(against)", .chain
      ) { inputs in
        losses(
          extent, VocabularyLossRequest(), hasTeacher: hasTeacher, hasLabels: hasLabels, .all,
          &inputs)
      }
    }
  }

  /// Probabilities that are zero in float32.
  static let sharpDivergences: [OperationCase] = Divergence.allCases.map { divergence in
    OperationCase(
      "vocabularyLoss \(divergence) of sharp distributions",
      CaseTolerance(
        float32: 3e-4, narrowRoundings: 3,
        reason: "logits of some hundred are exact to 10⁻⁴ or so, and so are probabilities")
    ) { inputs in
      var request = VocabularyLossRequest()
      request.divergence = divergence
      let extent = LossExtent(rows: 20, deviation: 100)
      return losses(extent, request, hasTeacher: true, hasLabels: true, .all, &inputs)
    }
  }

  private static func losses(
    _ extent: LossExtent, _ request: VocabularyLossRequest, hasTeacher: Bool, hasLabels: Bool,
    _ wish: Wish, _ inputs: inout CaseInputs
  ) -> [CaseOutput] {
    var request = request
    let student = inputs.head(extent, extent.width)
    let teacher = hasTeacher ? inputs.teacher(of: student, extent) : nil
    if hasTeacher { request.divergenceWeights = inputs.vector([extent.rows]) }
    if hasLabels {
      // Every third row has no label.
      request.labels = inputs.indices(
        (0..<extent.rows).map { $0 % 3 == 1 ? -1 : $0 * 7 % extent.vocabulary })
      request.labelWeights = inputs.vector([extent.rows])
    }
    request.wantsRowsGradient = wish == .rows || wish == .all
    request.wantsWeightGradient = wish == .weights || wish == .all
    request.wantsBiasGradient = wish == .all
    let result = inputs.backend.vocabularyLoss(student, teacher: teacher, request)
    return [
      result.divergence.map { .float32("divergence", $0) },
      result.labelLoss.map { .float32("labelLoss", $0) },
      result.rowsGradient.map { .activation("drows", $0) },
      result.weightGradient.map { .float32("dweight", $0) },
      result.biasGradient.map { .float32("dbias", $0) },
    ].compactMap { $0 }
  }

  static let distances: [OperationCase] =
    [([1], 5), ([5, 0, 9], 33), ([7, 7], 80), ([0], 4), ([200], 160)].map { lengths, width in
      OperationCase("distance \(lengths) of \(width)", .sum) { inputs in
        let segments = Segments(lengths)
        let x = inputs.activations([segments.rows, width])
        let target = inputs.activations([segments.rows, width])
        return apart(x, target, segments, &inputs)
      }
    } + [
      OperationCase("distance of equal rows", .exact) { inputs in
        let x = inputs.activations([8, 33])
        return apart(x, x, Segments([5, 3]), &inputs)
      }
    ]

  /// Ties, numbers that are not finite, and rows longer than a block of threads.
  static let argmaxima: [OperationCase] = [1, 5, 33, 1023, 5000].map { width in
    OperationCase("argmaxRows of \(width)", .exact) { inputs in
      var values = (0..<6 * width).map { (index: Int) -> Double in
        let (row, column) = (index / width, index % width)
        return Double((7 * column + 3 * row) % 11) - 20
      }
      values[width + width / 2] = .nan
      values[2 * width + width - 1] = .infinity
      let type = inputs.backend.activationType
      let x = inputs.fixed(values, [6, width], type)
      return [.stored("columns", inputs.backend.argmaxRows(x), .int32)]
    }
  }

  private static func apart(
    _ x: Tensor, _ target: Tensor, _ segments: Segments, _ inputs: inout CaseInputs
  ) -> [CaseOutput] {
    let weights = inputs.vector([segments.count], mean: 1)
    let (norms, gradient) = inputs.backend.distance(x, target, segments, weights: weights)
    return [.float32("norms", norms), .activation("dx", gradient)]
  }
}

extension CaseInputs {
  fileprivate mutating func teacher(
    of student: VocabularyHead, _ extent: OperationCase.LossExtent
  ) -> VocabularyHead {
    guard extent.sharesHead else { return head(extent, extent.teacherWidth) }
    let rows = rows(student.rows.shape, for: extent.weightType, deviation: extent.deviation)
    return VocabularyHead(rows: rows, weight: student.weight, bias: student.bias)
  }

  fileprivate mutating func head(
    _ extent: OperationCase.LossExtent, _ width: Int
  ) -> VocabularyHead {
    VocabularyHead(
      rows: rows([extent.rows, width], for: extent.weightType, deviation: extent.deviation),
      weight: matrix(extent.vocabulary, width, extent.weightType),
      bias: extent.hasBiases ? vector([extent.vocabulary]) : nil)
  }
}
