import Foundation
import MaTVLMTensor

/// Other coordinates for the rows that a mixer takes: rows u become M⁻¹ u and the input projection's
/// weights W M, so that the mixer makes the same of them.
///
/// A few directions of a decoder's rows are hundreds of times as large as most. Steps of AdamW are as
/// large along small ones, so that in the rows' own coordinates what depends on these is learned last.
/// M is C^¼ for the second moments C of the rows: half way to rows that are white, among which the
/// smallest directions would count as much as the largest.
struct InputCoordinates {
  private static let power = 0.25
  /// Directions with less than this part of the mean are not made larger than those with it.
  private static let floor = 1e-3

  /// M and M⁻¹ [D, D], symmetric, on the CPU.
  private let (matrix, inverse): (Tensor, Tensor)
  /// M⁻¹ where the rows are.
  private let ofRows: Tensor

  /// - Throws: ``LinearAlgebra/Failure`` when the rows are not finite.
  /// - Precondition: there are examples.
  init(of examples: [MixerExample]) throws(LinearAlgebra.Failure) {
    let rows = examples[0].input
    let width = rows.shape.width
    var moments = GramMatrix(width: width)
    for example in examples { moments.add(example.input) }
    let parts = try moments.eigendecomposition()
    let mean = parts.values.reduce(0, +) / Double(width)
    func matrix(_ power: Double, on device: Device = .cpu) -> Tensor {
      let elements = parts.matrix { mean > 0 ? pow(max($0 / mean, Self.floor), power) : 1 }
      return Tensor(elements.map { Float($0) }, [width, width], on: device)
    }
    (self.matrix, inverse) = (matrix(Self.power), matrix(-Self.power))
    ofRows = matrix(-Self.power, on: rows.device)
  }

  /// An example in these coordinates.
  func callAsFunction(_ example: MixerExample) -> MixerExample {
    MixerExample(
      input: linear(example.input, ofRows), output: example.output, layout: example.layout)
  }

  /// Gives a layer the weights that it has in these coordinates.
  func enter(_ layer: Linear) { multiply(layer.weight, by: matrix) }

  /// Gives a layer the weights back that it has in the rows' own coordinates.
  func leave(_ layer: Linear) { multiply(layer.weight, by: inverse) }

  /// On the CPU, since a card would round to its activations' type.
  private func multiply(_ weight: Parameter, by matrix: Tensor) {
    let product = linear(Tensor(weight.value.array(), weight.shape), matrix)
    weight.assign(Tensor(product.array(), weight.shape, on: weight.value.device))
  }
}
