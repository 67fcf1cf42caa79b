/// y = x Wᵀ + b
///
/// - Parameters:
///   - x: [T, I]
///   - weight: [O, I], float32, bfloat16 or float16 as stored, or quantised; further dimensions count as columns.
///   - bias: float32 [O]
/// - Returns: [T, O]
public func linear(_ x: Tensor, _ weight: Tensor, bias: Tensor? = nil) -> Tensor {
  linear(x, [Projection(weight: weight, bias: bias)])[0]
}

/// The same rows through several layers, which a device may compute as one product.
///
/// - Parameter x: [T, I]
/// - Returns: activation(x Wᵀ + b) [T, O] for each layer.
public func linear(_ x: Tensor, _ layers: [Projection]) -> [Tensor] {
  let inputs = [x] + layers.map(\.weight) + layers.map(\.bias)
  let count = inputs.count
  guard isRecorded(inputs) else { return x.backend.linear(x, layers) }
  // The gradient of an activation needs what went into it.
  let plain = layers.map { Projection(weight: $0.weight.detached, bias: $0.bias?.detached) }
  let needsX = x.history != nil
  let needsBias = layers.map { $0.bias?.history != nil }
  // A frozen weight keeps no activation alive.
  let needsWeight = layers.map { $0.weight.history != nil }
  let savedX = needsWeight.contains(true) ? x.detached : nil
  let outputs = recordingOutputs("linear", inputs, x.backend.linear(x.detached, plain)) { dys in
    let terms = zip(dys, plain).compactMap { dy, layer in dy.map { (dy: $0, weight: layer.weight) }
    }
    guard let backend = terms.first?.dy.backend else { return Array(repeating: nil, count: count) }
    return [needsX ? backend.linearInputGradient(terms) : nil]
      + dys.indices.map { index in
        guard needsWeight[index], let dy = dys[index], let savedX else { return nil }
        return backend.linearWeightGradient(dy, savedX).reshaped(plain[index].weight.shape)
      } + dys.indices.map { needsBias[$0] ? dys[$0].map(backend.sumRows) : nil }
  }
  return outputs.indices.map { index in
    // A frozen layer of rows without a history has none, whatever its neighbours have.
    let isReached = needsX || needsWeight[index] || needsBias[index]
    let y = isReached ? outputs[index] : outputs[index].detached
    return layers[index].activation.map { activate(y, $0) } ?? y
  }
}

/// What several layers add to a stream, which a device may compute as one product.
///
/// - Parameters:
///   - stream: [T, O]
///   - terms: layers of O outputs with their inputs.
/// - Returns: stream + Σ x Wᵀ + b [T, O]
/// - Precondition: no layer has an activation.
public func addLinear(_ stream: Tensor, _ terms: [LinearTerm]) -> Tensor {
  require(
    terms.allSatisfy { $0.projection.activation == nil }, "addLinear: a layer has an activation")
  let layers = terms.map(\.projection)
  // The gradient of activated rows goes on to those before the activation at once.
  let activated = terms.map { $0.x.history?.node.activated }
  let inputs =
    [stream] + zip(terms, activated).map { $1?.x ?? $0.x } + layers.map(\.weight)
    + layers.map(\.bias)
  guard isRecorded(inputs) else { return stream.backend.addLinear(stream, terms) }
  let rows = zip(terms, activated).map { term, activated in
    GradientOfRows(
      weight: term.projection.weight.detached, isNeeded: term.x.history != nil,
      activation: activated.map { (of: $0.x.detached, $0.activation) })
  }
  let needsBias = layers.map { $0.bias?.history != nil }
  let savedX = terms.map { $0.projection.weight.history != nil ? $0.x.detached : nil }
  return stream.backend.addLinear(stream, terms).recording("addLinear", inputs) { dy in
    [dy] + rows.map { $0(dy) }
      + zip(savedX, rows).map { x, rows in
        x.map { dy.backend.linearWeightGradient(dy, $0).reshaped(rows.weight.shape) }
      } + needsBias.map { $0 ? dy.backend.sumRows(dy) : nil }
  }
}

/// The gradient of what a layer reads, or of what was activated to be read.
private struct GradientOfRows: Sendable {
  let weight: Tensor
  let isNeeded: Bool
  let activation: (of: Tensor, Activation)?

  func callAsFunction(_ dy: Tensor) -> Tensor? {
    guard isNeeded else { return nil }
    guard let (x, activation) = activation else {
      return dy.backend.linearInputGradient(dy, weight)
    }
    return dy.backend.linearInputGradient(dy, weight, through: activation, of: x)
  }
}
