import Foundation
import MaTVLMTensor

extension ReferenceBackend {
  package func vocabularyLoss(
    _ student: VocabularyHead, teacher: VocabularyHead?, _ request: VocabularyLossRequest
  ) -> VocabularyLossResult {
    let (count, vocabulary) = (student.rows.shape.rows, student.weight.shape.rows)
    let logits = self.logits(student, count, vocabulary)
    let teacherLogits = teacher.map { self.logits($0, count, vocabulary) }
    let divergenceWeights = request.divergenceWeights.map {
      floats($0, [count], "vocabularyLoss: divergence weights")
    }
    let labelWeights = request.labelWeights.map {
      floats($0, [count], "vocabularyLoss: label weights")
    }
    var (divergence, labelLoss) = (Grid(zeros: 1, count), Grid(zeros: 1, count))
    var gradient = Grid(zeros: count, vocabulary)  // of the logits
    if let teacherLogits {
      for row in 0..<count {
        let (loss, slope) = request.divergence.compare(
          student: logits.row(row), teacher: teacherLogits.row(row), Double(request.temperature))
        divergence[row] = loss
        for v in 0..<vocabulary { gradient[row, v] += (divergenceWeights?[row] ?? 0) * slope[v] }
      }
    }
    let labels = request.labels.map { integers($0, count, "vocabularyLoss: labels") }
    for (row, label) in (labels ?? []).enumerated() where label >= 0 {
      let logP = logSoftmax(logits.row(row))
      labelLoss[row] = -logP[label]
      for v in 0..<vocabulary {
        gradient[row, v] += (labelWeights?[row] ?? 0) * (exp(logP[v]) - (v == label ? 1 : 0))
      }
    }
    let wished = headGradient(gradient, student)
    return VocabularyLossResult(
      divergence: teacher == nil ? nil : tensor(divergence, [count]),
      labelLoss: labels == nil ? nil : tensor(labelLoss, [count]),
      rowsGradient: request.wantsRowsGradient ? wished.rows : nil,
      weightGradient: request.wantsWeightGradient ? wished.weight : nil,
      biasGradient: request.wantsBiasGradient ? wished.bias : nil)
  }

  package func argmaxRows(_ x: Tensor) -> Tensor {
    let values = floats(x, [x.shape.rows, x.shape.width], "argmaxRows: x")
    let columns = (0..<x.shape.rows).map { index in
      let row = Array(values.row(index))
      return row.allSatisfy(\.isFinite) ? row.firstIndex(of: row.max()!)! : -1
    }
    return Tensor(indices: columns, on: Device(self))
  }

  /// rows weightᵀ + bias [T, V], in double precision.
  private func logits(_ head: VocabularyHead, _ count: Int, _ vocabulary: Int) -> Grid {
    let width = head.weight.shape.width
    let rows = floats(head.rows, [count, width], "vocabularyLoss: rows")
    let matrix = weights(head.weight, vocabulary, width, "vocabularyLoss: weight")
    let bias = head.bias.map { floats($0, [vocabulary], "vocabularyLoss: bias") }
    var logits = Grid(zeros: count, vocabulary)
    for row in 0..<count {
      for v in 0..<vocabulary {
        logits[row, v] = (0..<width).reduce(bias?[v] ?? 0) { $0 + rows[row, $1] * matrix[v, $1] }
      }
    }
    return logits
  }

  private func headGradient(
    _ dLogits: Grid, _ head: VocabularyHead
  ) -> (rows: Tensor, weight: Tensor, bias: Tensor) {
    let (count, width) = (head.rows.shape.rows, head.rows.shape.width)
    let rows = Grid(width: width, values(of: head.rows))
    let matrix = Grid(width: width, values(of: head.weight))
    var (dRows, dWeight) = (Grid(zeros: count, width), Grid(zeros: dLogits.width, width))
    var dBias = Grid(zeros: 1, dLogits.width)
    for row in 0..<count {
      for v in 0..<dLogits.width {
        dBias[v] += dLogits[row, v]
        for column in 0..<width {
          dRows[row, column] += dLogits[row, v] * matrix[v, column]
          dWeight[v, column] += dLogits[row, v] * rows[row, column]
        }
      }
    }
    return (
      tensor(dRows, head.rows.shape), tensor(dWeight, head.weight.shape),
      tensor(dBias, [dLogits.width])
    )
  }

  package func distance(
    _ x: Tensor, _ target: Tensor, _ segments: Segments, weights: Tensor
  ) -> (norms: Tensor, gradient: Tensor) {
    let source = floats(x, [segments.rows, x.shape.width], "distance: x")
    let goal = floats(target, x.shape, "distance: target")
    let factors = floats(weights, [segments.count], "distance: weights")
    var norms = Grid(zeros: 1, segments.count)
    var gradient = Grid(zeros: segments.rows, source.width)
    for segment in 0..<segments.count {
      let rows = segments.range(segment)
      let places = rows.lowerBound * source.width..<rows.upperBound * source.width
      let norm = places.reduce(0) { $0 + pow(source[$1] - goal[$1], 2) }.squareRoot()
      norms[segment] = norm
      for place in places where norm > 0 {
        gradient[place] = factors[segment] * (source[place] - goal[place]) / norm
      }
    }
    return (tensor(norms, [segments.count]), tensor(gradient, x.shape))
  }

  package func sumOfSquares(_ tensors: [Tensor]) -> Tensor {
    let sum = tensors.reduce(0) { sum, x in
      floats(x, x.shape, "sumOfSquares").values.reduce(sum) { $0 + $1 * $1 }
    }
    return tensor([sum], [1])
  }
}

private func logSoftmax(_ logits: some Collection<Double>) -> [Double] {
  let maximum = logits.max()!
  let logDenominator = maximum + log(logits.reduce(0) { $0 + exp($1 - maximum) })
  return logits.map { $0 - logDenominator }
}

/// log((eᵃ + eᵇ) / 2), also where both exponentials are zero in double precision.
private func logMean(_ a: Double, _ b: Double) -> Double {
  max(a, b) + log((1 + exp(-abs(a - b))) / 2)
}

extension Divergence {
  /// The divergence of one row, and its derivative with respect to the student's logits.
  fileprivate func compare(
    student: ArraySlice<Double>, teacher: ArraySlice<Double>, _ temperature: Double
  ) -> (loss: Double, slope: [Double]) {
    switch self {
    case .teacherArgmax:
      let logP = logSoftmax(student)
      let best = teacher.indices.max { teacher[$0] < teacher[$1] }! - teacher.startIndex
      return (-logP[best], logP.enumerated().map { exp($1) - ($0 == best ? 1 : 0) })
    case .logitDistance:
      let difference = zip(student, teacher).map(-)
      return (difference.reduce(0) { $0 + $1 * $1 } / 2, difference)
    case .forward, .reverse, .jensenShannon, .jensenShannonAuthors:
      let logS = logSoftmax(student.map { $0 / temperature })
      let logT = logSoftmax(teacher.map { $0 / temperature })
      let terms = zip(logS, logT).map(term)
      let sum = terms.reduce(0) { $0 + $1.weightedSlope }
      // Through softmax: ∂/∂z = p (∂/∂p − Σ p ∂/∂p) / τ; and all of it times τ².
      let slope = zip(logS, terms).map { temperature * ($1.weightedSlope - exp($0) * sum) }
      return (temperature * temperature * terms.reduce(0) { $0 + $1.loss }, slope)
    }
  }

  /// One token's part of a divergence between distributions, and p_S times its derivative with
  /// respect to p_S.
  private func term(_ logS: Double, _ logT: Double) -> (loss: Double, weightedSlope: Double) {
    let (s, t) = (exp(logS), exp(logT))
    let (m, logM) = ((s + t) / 2, logMean(logS, logT))
    switch self {
    case .forward: return (t * (logT - logS), -t)
    case .reverse: return (s * (logS - logT), s * (logS - logT + 1))
    case .jensenShannon:
      let loss = t / 2 * (logT - logM) + s / 2 * (logS - logM)
      return (loss, s / 2 * (logS - logM))
    case .jensenShannonAuthors:
      let loss = m / 2 * (logM - logT) + m / 2 * (logM - logS)
      return (loss, s / 4 * (2 * logM - logT - logS + 2) - m / 2)
    case .teacherArgmax, .logitDistance:
      preconditionFailure("\(self) does not compare distributions")
    }
  }
}
