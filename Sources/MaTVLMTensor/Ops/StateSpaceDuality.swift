/// The scan of Mamba-2 from a zero state (Dao and Gu 2024, arXiv:2405.21060, section 6), by chunks:
/// quadratic within, linear between them.
///
/// - Returns: [T, H · P]; see ``StateSpaceInputs`` for the formula.
package func stateSpaceDuality(
  _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments
) -> Tensor {
  let saved = inputs.detached
  return inputs.x.backend.stateSpaceDuality(inputs, geometry, segments, states: nil)
    .recording("stateSpaceDuality", inputs.all) { dy in
      dy.backend.stateSpaceDualityGradient(dy, saved, geometry, segments).all
    }
}

extension StateSpaceInputs {
  fileprivate var all: [Tensor] { [x, b, c, dt, dtBias, aLog, d] }

  fileprivate var detached: StateSpaceInputs {
    StateSpaceInputs(
      x: x.detached, b: b.detached, c: c.detached, dt: dt.detached, dtBias: dtBias.detached,
      aLog: aLog.detached, d: d.detached)
  }
}
