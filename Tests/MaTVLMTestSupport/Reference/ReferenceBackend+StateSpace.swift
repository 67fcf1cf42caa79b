import Foundation
import MaTVLMTensor

extension ReferenceBackend {
  /// The recurrence itself, one row after the other.
  package func stateSpaceDuality(
    _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments,
    states: [Tensor]?
  ) -> Tensor {
    precondition((states?.count ?? segments.count) == segments.count, "stateSpaceDuality: states")
    let scan = Scan(self, inputs, geometry, segments)
    let (heads, p, n) = (geometry.heads, geometry.headWidth, geometry.stateWidth)
    var y = Grid(zeros: segments.rows, heads * p)
    for segment in 0..<segments.count {
      var state =
        states.map { floats($0[segment], [heads, p, n], "stateSpaceDuality: state") }
        ?? Grid(zeros: heads, p * n)
      for head in 0..<heads {
        var h = Grid(width: n, Array(state.row(head)))  // [P, N]
        for row in segments.range(segment) {
          h = scan.next(h, head, row)
          for i in 0..<p {
            let sum = (0..<n).reduce(0) { $0 + h[i, $1] * scan.c[row, head * n + $1] }
            y[row, head * p + i] = sum + scan.d[head] * scan.x[row, scan.group(head) * p + i]
          }
        }
        for index in 0..<p * n { state[head, index] = h[index] }
      }
      if let states { replace(states[segment], with: state.values) }
    }
    return tensor(y, [segments.rows, heads * p])
  }

  /// The recurrence backwards, over the states that it went through.
  package func stateSpaceDualityGradient(
    _ dy: Tensor, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry, _ segments: Segments
  ) -> StateSpaceInputs {
    let scan = Scan(self, inputs, geometry, segments)
    let width = geometry.heads * geometry.headWidth
    let upstream = floats(dy, [segments.rows, width], "stateSpaceDualityGradient: dy")
    var gradient = ScanGradient(geometry, rows: segments.rows)
    for segment in 0..<segments.count {
      for head in 0..<geometry.heads {
        gradient.accumulate(upstream, scan, head, segments.range(segment))
      }
    }
    return StateSpaceInputs(
      x: tensor(gradient.x, inputs.x.shape), b: tensor(gradient.b, inputs.b.shape),
      c: tensor(gradient.c, inputs.c.shape), dt: tensor(gradient.dt, inputs.dt.shape),
      dtBias: tensor(gradient.dtBias, inputs.dtBias.shape),
      aLog: tensor(gradient.aLog, inputs.aLog.shape), d: tensor(gradient.d, inputs.d.shape))
  }
}

/// The values that go into a scan.
private struct Scan {
  let x, b, c, dt, dtBias, aLog, d: Grid
  let geometry: StateSpaceGeometry

  init(
    _ backend: ReferenceBackend, _ inputs: StateSpaceInputs, _ geometry: StateSpaceGeometry,
    _ segments: Segments
  ) {
    let (rows, heads, groups) = (segments.rows, geometry.heads, geometry.groups)
    x = backend.floats(inputs.x, [rows, groups * geometry.headWidth], "stateSpaceDuality: x")
    b = backend.floats(inputs.b, [rows, groups * geometry.stateWidth], "stateSpaceDuality: b")
    c = backend.floats(inputs.c, [rows, heads * geometry.stateWidth], "stateSpaceDuality: c")
    dt = backend.floats(inputs.dt, [rows, heads], "stateSpaceDuality: dt")
    dtBias = backend.floats(inputs.dtBias, [heads], "stateSpaceDuality: dtBias")
    aLog = backend.floats(inputs.aLog, [heads], "stateSpaceDuality: aLog")
    d = backend.floats(inputs.d, [heads], "stateSpaceDuality: d")
    self.geometry = geometry
  }

  func group(_ head: Int) -> Int { head / (geometry.heads / geometry.groups) }

  func a(_ head: Int) -> Double { -exp(aLog[head]) }

  /// Δ and its derivative with respect to dt; softplus is the identity above 20.
  func step(_ row: Int, _ head: Int) -> (value: Double, derivative: Double) {
    let argument = dt[row, head] + dtBias[head]
    return argument > 20 ? (argument, 1) : (log1p(exp(argument)), sigmoid(argument))
  }

  /// The state [P, N] after `row`, where `h` is the one before it.
  func next(_ h: Grid, _ head: Int, _ row: Int) -> Grid {
    let (p, n) = (geometry.headWidth, geometry.stateWidth)
    let step = step(row, head).value
    let decay = exp(step * a(head))
    var next = h
    for i in 0..<p {
      for j in 0..<n {
        let entering = step * x[row, group(head) * p + i] * b[row, group(head) * n + j]
        next[i, j] = decay * h[i, j] + entering
      }
    }
    return next
  }
}

/// Sums of the gradients of everything that goes into a scan.
private struct ScanGradient {
  let geometry: StateSpaceGeometry
  var x, b, c, dt, dtBias, aLog, d: Grid

  init(_ geometry: StateSpaceGeometry, rows: Int) {
    self.geometry = geometry
    x = Grid(zeros: rows, geometry.groups * geometry.headWidth)
    b = Grid(zeros: rows, geometry.groups * geometry.stateWidth)
    c = Grid(zeros: rows, geometry.heads * geometry.stateWidth)
    dt = Grid(zeros: rows, geometry.heads)
    dtBias = Grid(zeros: 1, geometry.heads)
    aLog = Grid(zeros: 1, geometry.heads)
    d = Grid(zeros: 1, geometry.heads)
  }

  mutating func accumulate(_ dy: Grid, _ scan: Scan, _ head: Int, _ rows: Range<Int>) {
    let (p, n) = (geometry.headWidth, geometry.stateWidth)
    var states = [Grid(zeros: p, n)]  // [P, N] before each row, and after the last one
    for row in rows { states.append(scan.next(states.last!, head, row)) }
    var dh = Grid(zeros: p, n)
    for row in rows.reversed() {
      let t = row - rows.lowerBound
      addOutput(dy, scan, head, row, after: states[t + 1], &dh)
      addStep(scan, head, row, before: states[t], &dh)
    }
  }

  /// y = h C + d x
  private mutating func addOutput(
    _ dy: Grid, _ scan: Scan, _ head: Int, _ row: Int, after h: Grid, _ dh: inout Grid
  ) {
    let (p, n) = (geometry.headWidth, geometry.stateWidth)
    for i in 0..<p {
      let (upstream, column) = (dy[row, head * p + i], scan.group(head) * p + i)
      x[row, column] += scan.d[head] * upstream
      d[head] += upstream * scan.x[row, column]
      for j in 0..<n {
        c[row, head * n + j] += upstream * h[i, j]
        dh[i, j] += upstream * scan.c[row, head * n + j]
      }
    }
  }

  /// h′ = exp(Δ A) h + Δ x Bᵀ; leaves the gradient of h in `dh`.
  private mutating func addStep(
    _ scan: Scan, _ head: Int, _ row: Int, before h: Grid, _ dh: inout Grid
  ) {
    let (p, n) = (geometry.headWidth, geometry.stateWidth)
    let (firstX, firstB) = (scan.group(head) * p, scan.group(head) * n)
    let step = scan.step(row, head)
    let decay = exp(step.value * scan.a(head))
    var (dStep, dDecay) = (0.0, 0.0)
    for i in 0..<p {
      for j in 0..<n {
        let (xi, bj) = (scan.x[row, firstX + i], scan.b[row, firstB + j])
        x[row, firstX + i] += dh[i, j] * step.value * bj
        b[row, firstB + j] += dh[i, j] * step.value * xi
        dStep += dh[i, j] * xi * bj
        dDecay += dh[i, j] * h[i, j]
        dh[i, j] *= decay
      }
    }
    dStep += dDecay * decay * scan.a(head)
    // dA/d(aLog) = A, because A = −exp(aLog).
    aLog[head] += dDecay * decay * step.value * scan.a(head)
    dt[row, head] += dStep * step.derivative
    dtBias[head] += dStep * step.derivative
  }
}
