import MaTVLMTensor

/// Where two lists of numbers differ most.
package struct Mismatch: CustomStringConvertible, Sendable {
  /// ‖a − b‖ / ‖b‖
  package let relativeL2: Double
  /// The worst element; nil values where a list has no such element.
  package let index: Int
  package let value: Float?
  package let expected: Float?

  package var description: String {
    let found = value.map { "\($0)" } ?? "nothing"
    let wanted = expected.map { "\($0)" } ?? "nothing"
    return "relative L2 \(relativeL2); worst at \(index): \(found), expected \(wanted)"
  }
}

/// Nil when ‖a − b‖ ≤ `relativeL2` · (‖b‖ + floor · √count), and what is wrong otherwise. A NaN is
/// always wrong.
///
/// - Parameters:
///   - relativeL2: 0 asks for equal numbers.
///   - floor: the size of a number below which its relative error does not matter.
package func mismatch(
  _ a: [Float], _ b: [Float], relativeL2 tolerance: Double, floor: Double = 0
) -> Mismatch? {
  guard a.count == b.count else {
    let end = min(a.count, b.count)
    return Mismatch(
      relativeL2: .infinity, index: end, value: a.dropFirst(end).first,
      expected: b.dropFirst(end).first)
  }
  // Equal infinities have no difference that is a number.
  let errors = zip(a, b).map { $0 == $1 ? 0 : (Double($0) - Double($1)).magnitude }
  let error = errors.reduce(0) { $0 + $1 * $1 }.squareRoot()
  let size = b.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
  guard error != 0 else { return nil }
  if error <= tolerance * (size + floor * Double(b.count).squareRoot()) { return nil }
  let worst = errors.firstIndex(where: \.isNaN) ?? errors.indices.max { errors[$0] < errors[$1] }!
  return Mismatch(relativeL2: error / size, index: worst, value: a[worst], expected: b[worst])
}

/// The same for tensors; other shapes are a mismatch from the first element on.
package func mismatch(
  _ a: Tensor, _ b: Tensor, relativeL2 tolerance: Double, floor: Double = 0
) -> Mismatch? {
  guard a.shape == b.shape else {
    return mismatch(a.array(), a.shape.count == b.shape.count ? [] : b.array(), relativeL2: 0)
  }
  return mismatch(a.array(), b.array(), relativeL2: tolerance, floor: floor)
}
