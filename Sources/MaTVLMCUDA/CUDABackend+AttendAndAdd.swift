import MaTVLMTensor

/// One row's attention and the products that are added beside it, as one kernel (attend_and_add.cu).
extension CUDABackend {
  package func addAttention(
    to stream: Tensor, _ attention: AppendingAttention, _ output: Projection,
    beside terms: [LinearTerm]
  ) -> Tensor {
    guard stream.shape.rows == 1, attention.segments.lengths == [1] else {
      return addAttentionByParts(to: stream, attention, output, beside: terms)
    }
    check(attention)
    let attended = empty(attention.rows.query.shape, attention.rows.query.dtype)
    // Products whose rows are known come first.
    let all = terms + [LinearTerm(attended, output)]
    guard let work = AttendAndAdd(self, stream, attention, all) else {
      return addAttentionByParts(to: stream, attention, output, beside: terms)
    }
    for term in all { check("addAttention", term.x, term.projection) }
    let y = empty(stream.shape, stream.dtype)
    launch(work, stream, attention, all, attended: attended, into: y)
    return y
  }

  private func launch(
    _ work: AttendAndAdd, _ stream: Tensor, _ attention: AppendingAttention,
    _ terms: [LinearTerm], attended: Tensor, into y: Tensor
  ) {
    let weights = terms.map { self.weights($0.projection.weight, in: y.dtype) }
    let group = CacheGroup.all(attention.segments)[0]
    let partial = partialResults(work.shares, rows: 1, attention.geometry)
    let row = rowAttention(
      Query(attention), work.shares, partial, group, attention.segments, into: attended)
    let overlaps = settle(weights + terms.compactMap(\.projection.bias))
    let isEarly = follows(attention.rows.query)
    var source = KernelSource(.attendAndAdd, y.dtype)
    source.headWidth = attention.geometry.headWidth
    source.inputWidth = work.slabs[0].columns(y.dtype)
    (source.stages, source.steps) = (AttendAndAdd.stages, AttendAndAdd.steps)
    source.attentionWarps = AttendAndAdd.attentionWarps
    launch(
      source, "attendAndAdd", grid: Grid(work.blocks),
      block: RowProducts.threads + 32 * AttendAndAdd.attentionWarps, sharedBytes: work.sharedBytes,
      overlaps: overlaps,
      [
        .tensor(y), .tensor(stream),
        Slab.argument(work.slabs, terms, weights, known: work.known), .int32(y.shape.width), row,
        group.addresses(attention.keys), group.addresses(attention.values),
        meeting, .int32(isEarly ? 1 : 0),
      ])
  }
}

/// How that kernel's work is divided; there is none for what it does not do.
private struct AttendAndAdd {
  let slabs: [Slab]
  /// Of so many slabs, from the first on, the rows are known when the kernel begins.
  let known: Int
  let shares: (splits: Int, heads: Int)
  let blocks: Int
  let sharedBytes: Int

  /// `STAGES` of row_products.cuh: not more, because attention's own reading has to pass by.
  static let stages = 2
  /// `STEPS` and `ATTENTION_WARPS` of cached_attention.cuh.
  static let (steps, attentionWarps) = (3, 8)

  /// - Parameters:
  ///   - stream: one row.
  ///   - terms: the last one has attention's output as its rows.
  init?(
    _ backend: CUDABackend, _ stream: Tensor, _ attention: AppendingAttention,
    _ terms: [LinearTerm]
  ) {
    let (geometry, type) = (attention.geometry, stream.dtype)
    let blocks = backend.device.multiprocessors
    let isPlain = terms.allSatisfy { $0.projection.weight.dtype.quantization == nil }
    let isWhole =
      geometry.headWidth * type.byteCount % 16 == 0
      && geometry.headWidth * type.byteCount <= 32 * 16
    guard isPlain, isWhole, stream.shape.width >= blocks,
      backend.fitsThreads(outputs: stream.shape.width), let slabs = Slab.cut(terms)
    else { return nil }
    shares = Self.shares(of: attention.keys[0].shape.rows, heads: geometry.heads, blocks: blocks)
    let floats = (stream.shape.width + blocks - 1) / blocks * slabs.count
    sharedBytes =
      Self.stages * RowProducts.stageBytes
      + Self.steps * CUDABackend.stepBytes(warps: Self.attentionWarps) + 4 * floats
    let staticBytes = 8192  // at most, of the kernel's own
    guard geometry.heads / shares.heads * shares.splits <= blocks, terms.count > 1,
      sharedBytes + staticBytes <= backend.device.mostSharedBytes
    else { return nil }
    self.slabs = slabs
    known = slabs.count { $0.term < terms.count - 1 }
    self.blocks = blocks
  }

  /// A few blocks attend while the others multiply, until there is so much to read that all do.
  private static func shares(
    of keys: Int, heads: Int, blocks: Int
  ) -> (splits: Int, heads: Int) {
    if keys < 1536, heads <= blocks { return (1, 1) }
    // Neighbouring heads of the same keys lie side by side in memory.
    let group = heads % 2 == 0 ? 2 : 1
    return (max(1, min(blocks * group / heads, keys / 96, CUDABackend.mostSplits)), group)
  }
}
