/// An elementwise non-linearity, by the name Hugging Face configurations give it.
public enum Activation: Sendable, Hashable {
  /// x Φ(x), with the error function.
  case gelu
  /// ½x(1 + tanh(√(2/π)(x + 0.044715x³))): `gelu_new` and `gelu_pytorch_tanh`.
  case geluTanh
  /// x σ(x)
  case silu
}

/// A linear layer as an operation takes it.
public struct Projection: Sendable {
  /// [O, I]
  public let weight: Tensor
  /// float32 [O]
  public let bias: Tensor?
  /// What is applied to x weightᵀ + bias.
  public let activation: Activation?

  public init(weight: Tensor, bias: Tensor?, activation: Activation? = nil) {
    (self.weight, self.bias, self.activation) = (weight, bias, activation)
  }
}

/// A linear layer with the rows x [T, I] that it reads.
public struct LinearTerm: Sendable {
  public let x: Tensor
  public let projection: Projection

  public init(_ x: Tensor, _ projection: Projection) { (self.x, self.projection) = (x, projection) }
}

/// Rows of attention that come after what is cached, as they leave their projections.
package struct NewAttentionRows: Sendable {
  /// [T, H·P]
  package let query: Tensor
  /// [T, G·P]
  package let key: Tensor
  /// [T, G·P]
  package let value: Tensor
  /// Cosines and sines: float32 [positions, rotary width].
  package let table: Tensor
  /// int32 [T]
  package let positions: Tensor

  package init(query: Tensor, key: Tensor, value: Tensor, table: Tensor, positions: Tensor) {
    (self.query, self.key, self.value) = (query, key, value)
    (self.table, self.positions) = (table, positions)
  }
}

/// Attention of sequences that go on: with new rows, whose keys and values go into the caches.
package struct AppendingAttention: Sendable {
  package let rows: NewAttentionRows
  /// [capacity, G·P] for each segment.
  package let keys: [Tensor]
  /// [capacity, G·P] for each segment.
  package let values: [Tensor]
  package let geometry: AttentionGeometry
  package let segments: Segments

  package init(
    _ rows: NewAttentionRows, keys: [Tensor], values: [Tensor], _ geometry: AttentionGeometry,
    _ segments: Segments
  ) {
    (self.rows, self.keys, self.values) = (rows, keys, values)
    (self.geometry, self.segments) = (geometry, segments)
  }
}

/// How query, key and value columns divide into heads.
package struct AttentionGeometry: Sendable, Hashable {
  /// Query heads H.
  package let heads: Int
  /// Key and value heads G; query head h uses key head h / (H / G).
  package let keyValueHeads: Int
  /// Columns of a head P.
  package let headWidth: Int
  /// The factor of the scores, 1/√P as a rule.
  package let scale: Float
  /// Whether a row sees only itself and the rows before it.
  package let isCausal: Bool

  package init(
    heads: Int, keyValueHeads: Int, headWidth: Int, scale: Float, isCausal: Bool
  ) {
    require(
      heads > 0 && keyValueHeads > 0 && heads % keyValueHeads == 0,
      "attention: \(heads) heads share \(keyValueHeads) key/value heads")
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headWidth = headWidth
    self.scale = scale
    self.isCausal = isCausal
  }
}

/// Final rows and the matrix that makes logits of them: logits = rows weightᵀ + bias.
package struct VocabularyHead: Sendable {
  /// [T, D]
  package let rows: Tensor
  /// [V, D]
  package let weight: Tensor
  /// float32 [V]
  package let bias: Tensor?

  package init(rows: Tensor, weight: Tensor, bias: Tensor?) {
    (self.rows, self.weight, self.bias) = (rows, weight, bias)
  }
}

/// How far a student's distribution p_S is from its teacher's p_T, both softmax(logits / τ), for
/// one row. The first four are multiplied by τ² (Hinton et al. 2015).
public enum Divergence: String, Sendable, Hashable, Codable, CaseIterable {
  /// KL(p_T ‖ p_S)
  case forward = "kl"
  /// KL(p_S ‖ p_T)
  case reverse
  /// ½ KL(p_T ‖ m) + ½ KL(p_S ‖ m), m the mean of both
  case jensenShannon = "jsd"
  /// ½ KL(m ‖ p_T) + ½ KL(m ‖ p_S): the authors' code, whose arguments are swapped
  case jensenShannonAuthors = "jsd-authors"
  /// −log softmax(logits_S)[argmax logits_T], without temperature
  case teacherArgmax = "ce"
  /// ½ ‖logits_S − logits_T‖², without temperature
  case logitDistance = "l2"
}

/// Which losses over the vocabulary are wanted, and how rows count.
package struct VocabularyLossRequest: Sendable {
  package var divergence: Divergence = .forward
  package var temperature: Float = 1
  /// float32 [T]: the weight of each row's divergence in the gradient; nil: no divergence.
  package var divergenceWeights: Tensor?
  /// int32 [T]: the token that follows each row; negative: none.
  package var labels: Tensor?
  /// float32 [T]: the weight of each row's label loss in the gradient.
  package var labelWeights: Tensor?
  package var wantsRowsGradient = false
  package var wantsWeightGradient = false
  package var wantsBiasGradient = false

  package init() {}
}

/// Losses of each row, and the gradient of their weighted sum.
package struct VocabularyLossResult: Sendable {
  /// float32 [T]; nil without a teacher.
  package let divergence: Tensor?
  /// float32 [T]: −log softmax(logits)[label], 0 where there is no label; nil without labels.
  package let labelLoss: Tensor?
  /// [T, D]
  package let rowsGradient: Tensor?
  /// float32 [V, D]
  package let weightGradient: Tensor?
  /// float32 [V]
  package let biasGradient: Tensor?

  package init(
    divergence: Tensor?, labelLoss: Tensor?, rowsGradient: Tensor?, weightGradient: Tensor?,
    biasGradient: Tensor?
  ) {
    (self.divergence, self.labelLoss, self.rowsGradient) = (divergence, labelLoss, rowsGradient)
    (self.weightGradient, self.biasGradient) = (weightGradient, biasGradient)
  }
}

/// One parameter's part of an AdamW step: all float32, of one shape.
package struct AdamWUpdate: Sendable {
  package let value: Tensor
  package let gradient: Tensor
  package let firstMoment: Tensor
  package let secondMoment: Tensor
  package let weightDecay: Float

  package init(
    value: Tensor, gradient: Tensor, firstMoment: Tensor, secondMoment: Tensor, weightDecay: Float
  ) {
    (self.value, self.gradient, self.weightDecay) = (value, gradient, weightDecay)
    (self.firstMoment, self.secondMoment) = (firstMoment, secondMoment)
  }
}

/// What all parameters of an AdamW step share (Loshchilov and Hutter 2019, arXiv:1711.05101).
package struct AdamWStep: Sendable {
  package var learningRate: Float
  package var beta1: Float
  package var beta2: Float
  package var epsilon: Float
  /// 1 − β₁ᵗ and 1 − β₂ᵗ for the t-th step, from 1.
  package var correction1: Float
  package var correction2: Float
  /// What gradients are multiplied by first: the clipping factor.
  package var gradientScale: Float

  package init(
    learningRate: Float, beta1: Float, beta2: Float, epsilon: Float, correction1: Float,
    correction2: Float, gradientScale: Float
  ) {
    (self.learningRate, self.beta1, self.beta2) = (learningRate, beta1, beta2)
    (self.epsilon, self.correction1, self.correction2) = (epsilon, correction1, correction2)
    self.gradientScale = gradientScale
  }
}
