extension CountingBackend {
  package func gatherRows(_ table: Tensor, _ rows: Tensor) -> Tensor {
    count(
      OperationCount("gatherRows", 0, [.init(table), .init(rows)]) { $0.gatherRows($1[0], $1[1]) })
    return new([rows.shape.count, table.shape.width])
  }

  package func scatterAddRows(_ x: Tensor, _ rows: Tensor, count: Int) -> Tensor {
    self.count(
      OperationCount("scatterAddRows", elements(x), [.init(x), .init(rows)], details: [count]) {
        $0.scatterAddRows($1[0], $1[1], count: count)
      })
    return new([count, x.shape.width], x.dtype)
  }

  package func splitColumns(_ x: Tensor, _ widths: [Int]) -> [Tensor] {
    count(
      OperationCount("splitColumns", 0, [.init(x)], details: widths) {
        $0.splitColumns($1[0], widths)[0]
      })
    return widths.map { new([x.shape.rows, $0], x.dtype) }
  }

  package func joinColumns(_ parts: [Tensor?], widths: [Int]) -> Tensor {
    guard let present = parts.lazy.compactMap({ $0 }).first else {
      fatalError("joinColumns: no part of \(widths) is given")
    }
    let shape: Shape = [present.shape.rows, widths.reduce(0, +)]
    let inputs = widths.map { OperationCount.Input([shape.rows, $0], present.dtype) }
    count(
      OperationCount("joinColumns", 0, inputs, details: widths) {
        $0.joinColumns($1, widths: widths)
      })
    return new(shape, present.dtype)
  }

  /// As a rule the gradient of a bias.
  package func sumRows(_ x: Tensor) -> Tensor {
    count(OperationCount("sumRows", elements(x), [.init(x)]) { $0.sumRows($1[0]) })
    return new([x.shape.width], .float32, .gradients)
  }

  package func argmaxRows(_ x: Tensor) -> Tensor {
    count(OperationCount("argmaxRows", elements(x), [.init(x)]) { $0.argmaxRows($1[0]) })
    return new([x.shape.rows], .int32)
  }

  // MARK: Element by element

  package func add(_ a: Tensor, _ b: Tensor) -> Tensor {
    binary("add", a, b) { $0.add($1[0], $1[1]) }
  }

  package func multiply(_ a: Tensor, _ b: Tensor) -> Tensor {
    binary("multiply", a, b) { $0.multiply($1[0], $1[1]) }
  }

  package func activateGradient(_ dy: Tensor, _ x: Tensor, _ activation: Activation) -> Tensor {
    binary("activateGradient", dy, x) { $0.activateGradient($1[0], $1[1], activation) }
  }

  package func scale(_ x: Tensor, by factor: Float) -> Tensor {
    count(OperationCount("scale", elements(x), [.init(x)]) { $0.scale($1[0], by: factor) })
    return like(x)
  }

  package func activate(_ x: Tensor, _ activation: Activation) -> Tensor {
    count(OperationCount("activate", elements(x), [.init(x)]) { $0.activate($1[0], activation) })
    return like(x)
  }

  private func binary(
    _ name: String, _ a: Tensor, _ b: Tensor,
    _ probe: @escaping @Sendable (any Backend, [Tensor]) -> Tensor
  ) -> Tensor {
    require(a.shape == b.shape, "\(name): \(a.shape) and \(b.shape)")
    count(OperationCount(name, elements(a), [.init(a), .init(b)], probe: probe))
    return like(a)
  }

  /// A tensor like one that goes into an operation, for the same use: sums of gradients are
  /// gradients.
  private func like(_ x: Tensor) -> Tensor { new(x.shape, x.dtype, use(of: x)) }

  func elements(_ x: Tensor) -> Double { Double(x.shape.count) }
}
