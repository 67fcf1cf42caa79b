extension Tensor {
  /// Element by element. - Precondition: the shapes are equal.
  public static func + (a: Tensor, b: Tensor) -> Tensor {
    a.backend.add(a, b).recording("add", [a, b]) { dy in [dy, dy] }
  }

  /// Element by element. - Precondition: the shapes are equal.
  public static func * (a: Tensor, b: Tensor) -> Tensor {
    let (savedA, savedB) = (a.detached, b.detached)
    let (needsA, needsB) = (a.history != nil, b.history != nil)
    return a.backend.multiply(a, b).recording("multiply", [a, b]) { dy in
      [
        needsA ? dy.backend.multiply(dy, savedB) : nil,
        needsB ? dy.backend.multiply(dy, savedA) : nil,
      ]
    }
  }

  /// Every element times `factor`.
  public static func * (x: Tensor, factor: Float) -> Tensor {
    x.backend.scale(x, by: factor).recording("scale", [x]) { dy in
      [dy.backend.scale(dy, by: factor)]
    }
  }
}

/// activation(x), element by element.
public func activate(_ x: Tensor, _ activation: Activation) -> Tensor {
  let saved = x.detached
  let y = x.backend.activate(x, activation).recording("activate", [x]) { dy in
    [dy.backend.activateGradient(dy, saved, activation)]
  }
  y.history?.node.activated = ActivatedRows(x: x, activation: activation)
  return y
}
