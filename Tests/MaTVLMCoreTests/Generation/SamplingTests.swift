import Foundation
import MaTVLMCore
import Testing

@Suite("Choosing tokens against distributions worked out by hand")
struct SamplingTests {
  private static let probabilities = [0.15, 0.5, 0.1, 0.25]
  private static let logits = probabilities.map { Float(log($0)) }

  /// How often each token was drawn.
  private func frequencies(
    _ change: (inout Sampling) -> Void, logits: [Float] = logits, prompt: [Int] = []
  ) -> [Double] {
    var sampling = Sampling()
    (sampling.temperature, sampling.seed) = (1, 7)
    change(&sampling)
    var counts = logits.map { _ in 0.0 }
    var generator = RandomGenerator(seed: 1)
    for _ in 0..<Self.draws {
      sampling.seed = generator.next()
      var sampler = Sampler(sampling, prompt: prompt)
      counts[sampler.next(logits)] += 1
    }
    return counts.map { $0 / Double(Self.draws) }
  }

  private static let draws = 20_000

  private func expect(_ frequencies: [Double], _ weights: [Double]) {
    let sum = weights.reduce(0, +)
    for (token, (found, weight)) in zip(frequencies, weights).enumerated() {
      let p = weight / sum
      // Five standard errors; exactly never and exactly always when p is 0 or 1.
      let error = 5 * (p * (1 - p) / Double(Self.draws)).squareRoot()
      #expect(abs(found - p) <= error, "token \(token): \(found), expected \(p)")
    }
  }

  @Test("temperature")
  func temperature() {
    expect(frequencies { _ in }, Self.probabilities)
    expect(frequencies { $0.temperature = 0.5 }, Self.probabilities.map { $0 * $0 })
    expect(frequencies { $0.temperature = 2 }, Self.probabilities.map { $0.squareRoot() })
  }

  @Test("top-k")
  func topK() {
    expect(frequencies { $0.topK = 1 }, [0, 1, 0, 0])
    expect(frequencies { $0.topK = 2 }, [0, 0.5, 0, 0.25])
    expect(frequencies { $0.topK = 9 }, Self.probabilities)
    // Of equals the first stays.
    expect(frequencies({ $0.topK = 2 }, logits: [1, 1, 1, 0]), [1, 1, 0, 0])
  }

  @Test("top-p: as few of the most likely as reach it")
  func topP() {
    expect(frequencies { $0.topP = 0.49 }, [0, 1, 0, 0])
    expect(frequencies { $0.topP = 0.6 }, [0, 0.5, 0, 0.25])
    expect(frequencies { $0.topP = 0.76 }, [0.15, 0.5, 0, 0.25])
    expect(frequencies { $0.topP = 0.95 }, Self.probabilities)
    expect(frequencies { $0.topP = 1e-6 }, [0, 1, 0, 0])
    // The temperature comes first: squares are 0.0225, 0.25, 0.01, 0.0625 of 0.345.
    expect(
      frequencies {
        $0.temperature = 0.5
        $0.topP = 0.75
      }, [0, 0.25, 0, 0.0625])
    // Top-k comes first: two of 0.9 make 0.83 of it.
    expect(
      frequencies {
        $0.topK = 3
        $0.topP = 0.8
      }, [0, 0.5, 0, 0.25])
  }

  @Test("min-p, measured by the most likely token")
  func minP() {
    expect(frequencies { $0.minP = 0.25 }, [0.15, 0.5, 0, 0.25])
    expect(frequencies { $0.minP = 0.4 }, [0, 0.5, 0, 0.25])
    expect(frequencies { $0.minP = 1 }, [0, 1, 0, 0])
  }

  @Test("repetition penalty divides what is above zero and multiplies what is below")
  func penalty() {
    let half = { (sampling: inout Sampling) in sampling.repetitionPenalty = 2 }
    expect(
      frequencies(half, logits: [2, 1, -0.5, -1], prompt: [0, 2, -200]),
      [exp(1), exp(1), exp(-1), exp(-1)])
    // A token that the model does not have is no token.
    expect(frequencies(half, prompt: [400]), Self.probabilities)
  }

  @Test("greedy: the first of the largest, and chosen tokens are penalised from then on")
  func greedy() {
    var sampler = Sampler(Sampling(), prompt: [])
    #expect((0..<3).map { _ in sampler.next([1, 3, 3, 2]) } == [1, 1, 1])
    var sampling = Sampling()
    sampling.repetitionPenalty = 1.25
    var penalised = Sampler(sampling, prompt: [3])
    // 10 8.5 7 9: 3 is 7.2 at once; then 0 is 8, 1 is 6.8, 3 stays at 7.2, 2 stays at 7.
    #expect((0..<4).map { _ in penalised.next([10, 8.5, 7, 9]) } == [0, 1, 0, 0])
  }

  @Test("the same seed draws the same tokens; another draws others")
  func seeds() {
    func draw(_ seed: UInt64) -> [Int] {
      var sampling = Sampling()
      (sampling.temperature, sampling.seed) = (1, seed)
      var sampler = Sampler(sampling, prompt: [])
      return (0..<50).map { _ in sampler.next(Self.logits) }
    }
    #expect(draw(1) == draw(1))
    #expect(Set([draw(1), draw(2), draw(3)]).count == 3)
  }

  @Test("what is out of range is said")
  func problems() {
    #expect(Sampling().problem == nil)
    let changes: [(inout Sampling) -> Void] = [
      { $0.temperature = -1 }, { $0.temperature = .nan }, { $0.temperature = .infinity },
      { $0.topK = -1 }, { $0.topP = 0 }, { $0.topP = 1.1 }, { $0.topP = .nan }, { $0.minP = -0.1 },
      { $0.minP = 1.1 }, { $0.repetitionPenalty = 0 }, { $0.repetitionPenalty = .infinity },
    ]
    for (index, change) in changes.enumerated() {
      var sampling = Sampling()
      change(&sampling)
      #expect(sampling.problem != nil, "\(index)")
    }
  }
}
