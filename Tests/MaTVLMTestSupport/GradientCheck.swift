import MaTVLMTensor

/// Compares the tape's gradients with central differences, for a function of some tensors.
///
/// The function runs on a reference that keeps doubles, so a difference over steps of 10⁻⁵ is good
/// to about nine digits and a wrong formula cannot hide in rounding. What is differentiated is
/// Σ ⟨seed, output⟩ with random seeds, so every element of every output counts.
package struct GradientCheck {
  private let backend = ReferenceBackend(keeping: .float64)
  private var generator: RandomGenerator
  /// Half the distance of the two points of a difference.
  private let step = 1e-5
  /// Differences over `step` err by about step² and 10⁻¹⁶/step.
  private let relativeL2 = 1e-6

  package init(seed: UInt64 = 1) { generator = RandomGenerator(seed: seed) }

  /// Where the function's inputs must be.
  package var device: Device { Device(backend) }

  /// Normal numbers that are not differentiated with respect to.
  package mutating func constant(_ shape: Shape) -> Tensor {
    backend.tensor(normal(shape.count), shape)
  }

  /// What is wrong with the gradient of `function` with respect to inputs of these shapes: empty
  /// when nothing is.
  package mutating func failures(
    _ shapes: [Shape], _ function: ([Tensor]) -> [Tensor]
  ) -> [String] {
    let inputs = shapes.map { normal($0.count) }
    let parameters = zip(shapes, inputs).map { shape, values in
      let parameter = Parameter("input", backend.tensor(values, shape))
      parameter.isTrainable = true
      return parameter
    }
    let outputs = function(parameters.map(\.value))
    let seeds = outputs.map { normal($0.shape.count) }
    let seeded = zip(outputs, seeds).map { ($0, backend.tensor($1, $0.shape)) }
    let gradients = gradients(of: seeded)

    return shapes.indices.compactMap { index in
      guard let gradient = gradients[parameters[index]] else { return "input \(index): none" }
      guard gradient.shape == shapes[index] else {
        return "input \(index): \(gradient.shape), not \(shapes[index])"
      }
      let slopes = differences(shapes, inputs, seeds, index, function)
      return mismatch(
        backend.values(of: gradient).map { Float($0) }, slopes.map { Float($0) },
        relativeL2: relativeL2, floor: 1e-2
      ).map { "input \(index): \($0)" }
    }
  }

  /// The same for a function of one result.
  package mutating func failures(
    _ shapes: [Shape], _ function: ([Tensor]) -> Tensor
  ) -> [String] {
    failures(shapes) { [function($0)] }
  }

  /// Central differences with respect to every element of input `index`.
  private func differences(
    _ shapes: [Shape], _ inputs: [[Double]], _ seeds: [[Double]], _ index: Int,
    _ function: ([Tensor]) -> [Tensor]
  ) -> [Double] {
    inputs[index].indices.map { element in
      let ends = [step, -step].map { step in
        var moved = inputs
        moved[index][element] += step
        let outputs = function(zip(moved, shapes).map { backend.tensor($0, $1) })
        return zip(outputs, seeds).reduce(0) { sum, entry in
          zip(backend.values(of: entry.0), entry.1).reduce(sum) { $0 + $1.0 * $1.1 }
        }
      }
      return (ends[0] - ends[1]) / (2 * step)
    }
  }

  private mutating func normal(_ count: Int) -> [Double] {
    (0..<count).map { _ in generator.normal() }
  }
}
