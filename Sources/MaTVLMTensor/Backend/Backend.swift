/// Everything a device must compute.
///
/// The rules that keep this seam the same for every device:
/// tensors come and go on the device, and only ``read(_:at:into:)`` returns host bytes; no method
/// looks at device data to decide what to do; rows are contiguous and a transpose is part of a
/// method's meaning, never a view; what is returned is new memory, except where a method says that
/// it writes in place. Letters in shapes: `T` rows, `D` `I` `O` widths, `H` heads, `G` key/value
/// heads, `P` head width, `N` state width, `K` taps, `S` segments, `V` vocabulary.
///
/// Activations have the backend's ``activationType``. Matrices of weights may be float32, bfloat16
/// or float16 and are used as stored, or quantised where ``holdsQuantizedWeights``; vectors of weights
/// are float32. Gradients of weights, norms, losses, states and sums are float32. A weight's
/// dimensions beyond the first count as columns: the rows and the width of its ``Shape``.
package protocol Backend: AnyObject, Sendable {
  /// How people name the device: `cpu`, `cuda:0`.
  var name: String { get }
  /// The type of activations: what `linear` takes and returns.
  var activationType: DType { get }
  /// Whether `convert` makes quantised matrices and takes them back, and `linear`, its gradient, the
  /// losses over the vocabulary and `gatherRows` take them as weights. Such a device may round the
  /// rows that it multiplies with them to 8 bits, in the same groups.
  var holdsQuantizedWeights: Bool { get }
  /// Whether tensors have values. A device that only counts has none, and nobody need make them.
  var holdsValues: Bool { get }
  /// The types that caches of keys and values may have.
  var cacheTypes: [DType] { get }
  /// What made the device fail, after which nothing it returns means anything; nil: it works.
  /// Methods do not throw, since work on a device goes on behind the caller's back.
  var failure: (any Error)? { get }

  // MARK: Memory

  /// Bytes of a memory of its own that tensors have now; nil: the device uses the process's.
  var memoryInUse: Int? { get }
  /// Memory with undefined content, aligned for every kernel.
  func allocate(byteCount: Int) -> Memory
  func free(_ memory: Memory, byteCount: Int)
  /// Gives back to the system what was freed and is kept to be handed out again, and what the blocks of
  /// `tensors`, which are there to stay, have beyond them.
  func releaseUnusedMemory(beside tensors: [Tensor])
  func write(_ bytes: UnsafeRawBufferPointer, to memory: Memory, at offset: Int)
  func read(_ memory: Memory, at offset: Int, into bytes: UnsafeMutableRawBufferPointer)
  /// Weights that lie in a mapped file: used in place where the device can, copied where not.
  /// - Parameter owner: keeps `bytes` mapped as long as the storage lives.
  func adopt(_ bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable) -> Storage
  func zeros(_ shape: Shape, _ dtype: DType) -> Tensor
  /// A new tensor with the values of `x`, floating-point types rounded to nearest even. To a quantised
  /// type: each group by the scale that the device finds good, laid out by ``QuantizedLayout``.
  func convert(_ x: Tensor, to dtype: DType) -> Tensor

  /// Keeps what `body` computes instead of computing it, so that it can be done again without the
  /// host's work; nil where the device has nothing to gain from that, and `body` is not called.
  ///
  /// `body` must have run before with the same tensors, may not read or write from the host, and
  /// whatever it uses must outlive the recorded work.
  func record(_ body: () -> [Tensor]) -> (any RecordedWork)?

  // MARK: Rows and columns

  /// table [R, D] (any floating-point type), rows int32 [T] → [T, D]: row `rows[t]` of the table.
  func gatherRows(_ table: Tensor, _ rows: Tensor) -> Tensor
  /// x [T, D], rows int32 [T] → [count, D]: zeros, plus row t of x added to row `rows[t]`.
  func scatterAddRows(_ x: Tensor, _ rows: Tensor, count: Int) -> Tensor
  /// x [T, Σ widths] → one [T, width] for each width.
  func splitColumns(_ x: Tensor, _ widths: [Int]) -> [Tensor]
  /// [T, Dᵢ] for each part → [T, Σ Dᵢ]. A nil part is zeros; `widths` has every width.
  func joinColumns(_ parts: [Tensor?], widths: [Int]) -> Tensor
  /// x [T, D] → float32 [D]: the sum of the rows.
  func sumRows(_ x: Tensor) -> Tensor

  // MARK: Element by element

  func add(_ a: Tensor, _ b: Tensor) -> Tensor
  func multiply(_ a: Tensor, _ b: Tensor) -> Tensor
  func scale(_ x: Tensor, by factor: Float) -> Tensor
  func activate(_ x: Tensor, _ activation: Activation) -> Tensor
  /// dy ⊙ activation′(x)
  func activateGradient(_ dy: Tensor, _ x: Tensor, _ activation: Activation) -> Tensor

  // MARK: Products

  /// x [T, I], weight [O, I], bias float32 [O] → x weightᵀ + bias [T, O]
  func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?) -> Tensor
  /// The same rows through several layers: activation(x weightᵀ + bias) [T, O] for each.
  func linear(_ x: Tensor, _ projections: [Projection]) -> [Tensor]
  /// stream [T, O] + Σ x weightᵀ + bias over `terms`, none of which has an activation.
  func addLinear(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor
  /// dy [T, O], weight [O, I] → dy weight [T, I]
  func linearInputGradient(_ dy: Tensor, _ weight: Tensor) -> Tensor
  /// dy weight ⊙ activation′(x) [T, I]: what ``linearInputGradient(_:_:)`` gives for activated rows, for
  /// those before the activation, x [T, I].
  func linearInputGradient(
    _ dy: Tensor, _ weight: Tensor, through activation: Activation, of x: Tensor
  ) -> Tensor
  /// Σ dy weight [T, I] over `terms`, of which there is at least one.
  func linearInputGradient(_ terms: [(dy: Tensor, weight: Tensor)]) -> Tensor
  /// dy [T, O], x [T, I] → dyᵀ x, float32 [O, I]
  func linearWeightGradient(_ dy: Tensor, _ x: Tensor) -> Tensor

  // MARK: Norms

  /// Per row of x [T, D]: (x − mean) / √(variance + ε) ⊙ weight + bias
  func layerNorm(_ x: Tensor, _ weight: Tensor, _ bias: Tensor, epsilon: Float) -> Tensor
  /// `parameters`: whether the gradients of weight and bias are wanted.
  func layerNormGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, epsilon: Float, parameters: Bool
  ) -> (x: Tensor, weight: Tensor?, bias: Tensor?)
  /// g = x ⊙ silu(gate) [T, D]; per group of `groupWidth` columns g / √(mean(g²) + ε) ⊙ weight [D]
  func gatedRMSNorm(
    _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> Tensor
  func gatedRMSNormGradient(
    _ dy: Tensor, _ x: Tensor, gate: Tensor, _ weight: Tensor, groupWidth: Int, epsilon: Float
  ) -> (x: Tensor, gate: Tensor, weight: Tensor)

  // MARK: Sequences

  /// Rotates the first `table.width` columns of each of `heads` heads of x [T, heads·P] by the
  /// angles of each row's position (half-split pairs).
  /// - Parameters:
  ///   - table: float32 [positions, rotary width], cosines in the first half, then sines.
  ///   - positions: int32 [T].
  ///   - inverse: rotates back, which is the gradient.
  func rotate(
    _ x: Tensor, _ table: Tensor, positions: Tensor, heads: Int, inverse: Bool
  ) -> Tensor
  /// softmax(scale · q kᵀ) v within each segment. q [T, H·P], k v [T, G·P] → output [T, H·P] and,
  /// for the gradient, the log of each row's softmax denominator, float32 [T, H].
  func attention(
    _ q: Tensor, _ k: Tensor, _ v: Tensor, _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (output: Tensor, logSumExp: Tensor)
  func attentionGradient(
    _ dy: Tensor, _ q: Tensor, _ k: Tensor, _ v: Tensor, output: Tensor, logSumExp: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> (q: Tensor, k: Tensor, v: Tensor)
  /// Writes row t of x [T, W] into row `positions[t]` of its segment's cache [capacity, W], in
  /// place, rounded to the cache's type.
  func appendRows(_ x: Tensor, to caches: [Tensor], positions: Tensor, _ segments: Segments)
  /// Causal attention of q [T, H·P] to cached keys and values [capacity, G·P], one pair for each
  /// segment: row t sees cache rows 0…positions[t].
  func cachedAttention(
    _ q: Tensor, keys: [Tensor], values: [Tensor], positions: Tensor,
    _ geometry: AttentionGeometry, _ segments: Segments
  ) -> Tensor
  /// Rotates the new queries and keys as ``rotate`` does, adds keys and values to the caches as
  /// ``appendRows`` does, and attends as ``cachedAttention`` does: [T, H·P].
  func attend(_ attention: AppendingAttention) -> Tensor
  /// ``addLinear(_:_:)`` of what ``attend(_:)`` gives through `output`, and of `terms`, whose
  /// weights a device can read while it attends.
  func addAttention(
    to stream: Tensor, _ attention: AppendingAttention, _ output: Projection,
    beside terms: [LinearTerm]
  ) -> Tensor
  /// silu(bias + Σ_k weight[c, k] · x[t − K + 1 + k, c]) within each segment, zeros (or `tails`)
  /// before its first row. x [T, C], weight float32 [C, 1, K], bias float32 [C] → [T, C].
  /// - Parameter tails: per segment the last K − 1 rows that came before, float32 [K − 1, C];
  ///   replaced in place by the last K − 1 rows of x.
  func causalConvolution(
    _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments, tails: [Tensor]?
  ) -> Tensor
  func causalConvolutionGradient(
    _ dy: Tensor, _ x: Tensor, _ weight: Tensor, _ bias: Tensor, _ segments: Segments
  ) -> (x: Tensor, weight: Tensor, bias: Tensor)
  /// The parts of projected [T, z | x | B | C | Δ], a tensor for each: z and Δ as they are, x, B and C as
  /// ``causalConvolution`` makes them.
  func mixerParts(
    _ projected: Tensor, _ weight: Tensor, _ bias: Tensor, _ geometry: StateSpaceGeometry,
    _ segments: Segments, tails: [Tensor]?
  ) -> [Tensor]
  /// - Parameter parts: the gradient of each part; nil: zeros.
  func mixerPartsGradient(
    _ parts: [Tensor?], _ projected: Tensor, _ weight: Tensor, _ bias: Tensor,
    _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> (projected: Tensor, weight: Tensor, bias: Tensor)
  /// The Mamba-2 scan → y [T, H·P]; see ``StateSpaceInputs``.
  /// - Parameter states: per segment float32 [H, P, N]; read as the state before the first row and
  ///   replaced in place by the state after the last one. nil: zero, and not kept.
  func stateSpaceDuality(
    _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    states: [Tensor]?
  ) -> Tensor
  func stateSpaceDualityGradient(
    _ dy: Tensor, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> StateSpaceInputs
  /// The middle of a Mamba-2 mixer for sequences that go on: ``causalConvolution``,
  /// ``stateSpaceDuality`` and ``gatedRMSNorm`` of the new rows → [T, H·P].
  func mix(_ mixer: ContinuingMixer) -> Tensor
  /// ``addLinear(_:_:)`` of what ``mix(_:)`` gives through `output`, and of `terms`, whose weights a
  /// device can read while it mixes.
  func addMixer(
    to stream: Tensor, _ mixer: ContinuingMixer, _ output: Projection, beside terms: [LinearTerm]
  ) -> Tensor

  // MARK: Losses

  /// The losses over the vocabulary, and their gradients, in one walk over chunks of rows: logits
  /// never exist whole.
  func vocabularyLoss(
    _ student: VocabularyHead, teacher: VocabularyHead?, _ request: VocabularyLossRequest
  ) -> VocabularyLossResult
  /// ‖x − target‖ of each segment, float32 [S], and the gradient of Σ weights[s] · norm[s] with
  /// respect to x [T, D] (zero where the norm is). weights float32 [S].
  func distance(_ x: Tensor, _ target: Tensor, _ segments: Segments, weights: Tensor)
    -> (norms: Tensor, gradient: Tensor)
  /// Σ over all elements of all tensors of x², float32 [1], added up in double precision or as
  /// exactly.
  func sumOfSquares(_ tensors: [Tensor]) -> Tensor

  /// int32 [T]: the column of the first of the largest numbers of each row of x [T, V]; −1 where a
  /// number is not finite.
  func argmaxRows(_ x: Tensor) -> Tensor

  // MARK: Training

  /// One AdamW step; writes values and moments in place.
  func adamW(_ updates: [AdamWUpdate], _ step: AdamWStep)
}

/// Work that a device keeps, to do it again with the same memory and other content.
package protocol RecordedWork: AnyObject, Sendable {
  /// What the recorded functions returned; written anew by each ``replay()``.
  var outputs: [Tensor] { get }
  func replay()
}
