import MaTVLMTensor

/// The middle of a Mamba-2 mixer for single rows as one kernel (mixer_step.cu), and for one row together
/// with the products that are added beside it (mix_and_add.cu).
extension CUDABackend {
  package func mix(_ mixer: ContinuingMixer) -> Tensor {
    guard isStep(mixer) else { return mixByParts(mixer) }
    let y = empty(mixedShape(mixer), mixer.projected.dtype)
    let addresses = [mixer.tails, mixer.states].map { table(.addresses($0.map(\.address))) }
    launch(
      mixerSource(.mixerStep, mixer), "mixerStep",
      grid: Grid(mixer.geometry.heads, mixer.segments.count),
      overlaps: settle(mixer.weights.all),
      [.tensor(y), .tensor(mixer.projected), .words(mixer.weights.all.map(\.address))]
        + addresses + [
          .int32(mixer.geometry.heads), .float(mixer.weights.epsilon),
          .int32(follows(mixer.projected) ? 1 : 0),
        ])
    return y
  }

  package func addMixer(
    to stream: Tensor, _ mixer: ContinuingMixer, _ output: Projection, beside terms: [LinearTerm]
  ) -> Tensor {
    guard stream.shape.rows == 1, isStep(mixer), !terms.isEmpty else {
      return addMixerByParts(to: stream, mixer, output, beside: terms)
    }
    let mixed = empty(mixedShape(mixer), mixer.projected.dtype)
    // Products whose rows are known come first.
    let all = terms + [LinearTerm(mixed, output)]
    for term in all { check("addMixer", term.x, term.projection) }
    guard let work = MixAndAdd(self, stream, mixer, all) else {
      return addMixerByParts(to: stream, mixer, output, beside: terms)
    }
    let y = empty(stream.shape, stream.dtype)
    launch(work, stream, mixer, all, mixed: mixed, into: y)
    return y
  }

  private func launch(
    _ work: MixAndAdd, _ stream: Tensor, _ mixer: ContinuingMixer, _ terms: [LinearTerm],
    mixed: Tensor, into y: Tensor
  ) {
    let weights = terms.map { self.weights($0.projection.weight, in: y.dtype) }
    let overlaps = settle(weights + terms.compactMap(\.projection.bias) + mixer.weights.all)
    let isEarly = follows(mixer.projected)
    var source = mixerSource(.mixAndAdd, mixer)
    source.inputWidth = work.slabs[0].columns(y.dtype)
    source.stages = work.shape.stages
    launch(
      source, "mixAndAdd", grid: Grid(work.shape.blocks),
      block: RowProducts.threads + MixAndAdd.mixerThreads, sharedBytes: work.shape.sharedBytes,
      overlaps: overlaps,
      [
        .tensor(y), .tensor(stream),
        Slab.argument(work.slabs, terms, weights, known: work.known), .int32(y.shape.width),
        .tensor(mixed), .tensor(mixer.projected), .words(mixer.weights.all.map(\.address)),
        .words([mixer.tails[0].address, mixer.states[0].address]), .int32(mixer.geometry.heads),
        .float(mixer.weights.epsilon), meeting, .int32(isEarly ? 1 : 0),
      ])
  }

  /// Whether each sequence goes on by a row that mixer_row.cuh can take.
  private func isStep(_ mixer: ContinuingMixer) -> Bool {
    let taps = 4  // TAPS of mixer_row.cuh
    let geometry = mixer.geometry
    return mixer.segments.lengths.allSatisfy { $0 == 1 } && geometry.groups == geometry.heads
      && geometry.stateWidth % 4 == 0 && mixer.weights.convolution.shape.width == taps
  }

  /// [S, H·P], after a look at the mixer's shapes.
  private func mixedShape(_ mixer: ContinuingMixer) -> Shape {
    let (widths, count) = (mixer.geometry.widths, mixer.segments.count)
    let columns = widths.output + widths.x + widths.b + widths.c + mixer.geometry.heads
    require(
      mixer.projected.shape == [count, columns] && mixer.tails.count == count
        && mixer.states.count == count,
      "mix: projected \(mixer.projected.shape), \(count) segments, \(mixer.geometry)")
    return [count, widths.output]
  }

  private func mixerSource(_ file: KernelFile, _ mixer: ContinuingMixer) -> KernelSource {
    var source = KernelSource(file, mixer.projected.dtype)
    (source.headWidth, source.stateWidth) = (mixer.geometry.headWidth, mixer.geometry.stateWidth)
    return source
  }
}

extension MixerWeights {
  /// `struct MixerWeights` of mixer_row.cuh.
  fileprivate var all: [Tensor] { [convolution, convolutionBias, stepBias, aLog, skip, norm] }
}

/// How the work of mix_and_add.cu is divided; there is none for what it does not do.
private struct MixAndAdd {
  let slabs: [Slab]
  /// Of so many slabs, from the first on, the rows are known when the kernel begins.
  let known: Int
  let shape: RowProducts

  /// `MIXER_THREADS` of mixer_row.cuh.
  static let mixerThreads = 256

  /// - Parameters:
  ///   - stream: one row.
  ///   - terms: the last one has the mixer's output as its rows.
  init?(
    _ backend: CUDABackend, _ stream: Tensor, _ mixer: ContinuingMixer, _ terms: [LinearTerm]
  ) {
    let isPlain = terms.allSatisfy { $0.projection.weight.dtype.quantization == nil }
    guard isPlain, backend.fitsThreads(outputs: stream.shape.width), let slabs = Slab.cut(terms)
    else { return nil }
    shape = backend.rowProducts(outputs: stream.shape.width, floatsEach: slabs.count)
    let geometry = mixer.geometry
    let staticBytes = 4 * (2 * geometry.headWidth + 2 * geometry.stateWidth)  // the mixer's own
    guard mixer.geometry.heads <= shape.blocks,
      shape.sharedBytes + staticBytes <= backend.device.mostSharedBytes
    else { return nil }
    self.slabs = slabs
    known = slabs.count { $0.term < terms.count - 1 }
  }
}
