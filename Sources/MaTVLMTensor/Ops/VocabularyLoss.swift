/// The losses over the vocabulary of packed sequences.
package struct VocabularyLoss: Sendable {
  /// Σ over rows of weight · divergence + weight · label loss: one element, with history.
  package let total: Tensor
  /// float32 [T]: the divergence of each row, unweighted; nil without a teacher.
  package let divergence: Tensor?
  /// float32 [T]: the label loss of each row, unweighted, 0 where a row has no label; nil without
  /// labels.
  package let labelLoss: Tensor?
}

/// Divergence from a teacher and cross-entropy of labels, in one walk over chunks of rows.
///
/// - Parameters:
///   - student: final rows [T, D], head [V, D] and its bias [V].
///   - teacher: the same of the teacher; nothing flows back into it.
///   - request: which losses, and how rows count; what is wanted of gradients is found out here.
package func vocabularyLoss(
  _ student: VocabularyHead, teacher: VocabularyHead?, _ request: VocabularyLossRequest
) -> VocabularyLoss {
  let recorded = Recording.isEnabled
  var request = request
  request.wantsRowsGradient = recorded && student.rows.history != nil
  request.wantsWeightGradient = recorded && student.weight.history != nil
  request.wantsBiasGradient = recorded && student.bias?.history != nil
  let backend = student.rows.backend
  let result = backend.vocabularyLoss(student, teacher: teacher, request)

  let parts = [
    (result.divergence, request.divergenceWeights), (result.labelLoss, request.labelWeights),
  ].compactMap { values, weights in
    values.flatMap { values in weights.map { backend.weightedSum(values, $0) } }
  }
  require(!parts.isEmpty, "vocabularyLoss: neither a divergence nor labels are asked for")
  let value = parts.dropFirst().reduce(parts[0]) { backend.add($0, $1) }
  let total = value.recording("vocabularyLoss", [student.rows, student.weight, student.bias]) {
    dy in
    let seed = dy.item()
    return [result.rowsGradient, result.weightGradient, result.biasGradient].map { gradient in
      gradient.map { seed == 1 ? $0 : backend.scale($0, by: seed) }
    }
  }
  return VocabularyLoss(total: total, divergence: result.divergence, labelLoss: result.labelLoss)
}

extension Backend {
  /// Σ values[t] · weights[t], float32 [1].
  fileprivate func weightedSum(_ values: Tensor, _ weights: Tensor) -> Tensor {
    sumRows(multiply(values, weights).reshaped([values.shape.count, 1]))
  }
}
