/// Σ body(inputs, part) over `parts`, with the gradient of each part taken before the next one
/// begins: the activations of two parts never exist at the same time.
///
/// - Parameters:
///   - inputs: what every part may use; those that have a history get gradients.
///   - body: one part of the sum: one element, float32.
/// - Precondition: there is at least one part.
package func summing(
  _ parts: Int, _ inputs: [Tensor], _ body: ([Tensor], Int) -> Tensor
) -> Tensor {
  require(parts > 0, "summing: \(parts) parts")
  func add(_ sum: Tensor?, _ term: Tensor) -> Tensor {
    sum.map { $0.backend.add($0, term) } ?? term
  }
  let leaves = inputs.map { isRecorded([$0]) ? Node(leaf: "input of a part") : nil }
  let cut = zip(inputs, leaves).map { input, leaf in
    leaf.map(input.asLeaf) ?? input.detached
  }
  var total: Tensor?
  var sums = [Tensor?](repeating: nil, count: inputs.count)
  for part in 0..<parts {
    let value = body(cut, part)
    total = add(total, value.detached)
    let slopes = gradients(of: value)
    for (index, leaf) in leaves.enumerated() {
      if let slope = leaf.flatMap({ slopes[$0] }) { sums[index] = add(sums[index], slope) }
    }
  }
  let saved = sums
  return total!.recording("summing", inputs) { dy in
    let seed = dy.item()
    return saved.map { $0.map { seed == 1 ? $0 : $0.backend.scale($0, by: seed) } }
  }
}
