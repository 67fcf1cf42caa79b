import Foundation
import MaTVLMTensor

/// How the next token is chosen from logits.
public struct Sampling: Sendable, Hashable {
  /// Logits are divided by this; 0 takes the most likely token and makes all else inert.
  public var temperature: Float = 0
  /// Only the k most likely tokens stay; 0: all.
  public var topK = 0
  /// Only the most likely tokens that together reach this probability stay; 1: all.
  public var topP: Float = 1
  /// Only tokens at least this likely, measured by the most likely one, stay; 0: all.
  public var minP: Float = 0
  /// Logits of tokens that were seen are divided by this when positive, multiplied when negative
  /// (Keskar et al. 2019, arXiv:1909.05858); 1: no penalty.
  public var repetitionPenalty: Float = 1
  /// The same seed gives the same tokens.
  public var seed: UInt64 = 0

  public init() {}

  /// Whether the next token is the most likely one whatever came before, which a device can find by
  /// itself.
  var takesMostLikely: Bool { temperature == 0 && repetitionPenalty == 1 }

  /// What is out of range, in words; nil when everything is usable.
  public var problem: String? {
    if !(temperature >= 0 && temperature.isFinite) {
      return "the temperature must be 0 or more, not \(temperature)"
    }
    if topK < 0 { return "top-k must be 0 or more, not \(topK)" }
    if !(topP > 0 && topP <= 1) { return "top-p must be above 0 and at most 1, not \(topP)" }
    if !(minP >= 0 && minP <= 1) { return "min-p must be between 0 and 1, not \(minP)" }
    if !(repetitionPenalty > 0 && repetitionPenalty.isFinite) {
      return "the repetition penalty must be finite and above 0, not \(repetitionPenalty)"
    }
    return nil
  }
}

/// Chooses tokens; remembers what was seen for the repetition penalty.
package struct Sampler {
  private let sampling: Sampling
  private var generator: RandomGenerator
  private var seen: Set<Int>

  /// - Parameter prompt: token ids; image placeholders are not tokens and are left out.
  package init(_ sampling: Sampling, prompt: [Int]) {
    self.sampling = sampling
    generator = RandomGenerator(seed: sampling.seed)
    seen = Set(prompt.filter { $0 >= 0 })
  }

  /// - Parameter logits: one for each token of the vocabulary.
  package mutating func next(_ logits: [Float]) -> Int {
    let penalised = penalise(logits)
    let token =
      sampling.temperature == 0
      ? Self.mostLikely(penalised) : draw(candidates(penalised))
    seen.insert(token)
    return token
  }

  private func penalise(_ logits: [Float]) -> [Float] {
    guard sampling.repetitionPenalty != 1 else { return logits }
    var logits = logits
    for id in seen where id < logits.count {
      logits[id] =
        logits[id] < 0
        ? logits[id] * sampling.repetitionPenalty : logits[id] / sampling.repetitionPenalty
    }
    return logits
  }

  /// The first of the largest, as PyTorch's argmax.
  private static func mostLikely(_ logits: [Float]) -> Int {
    var best = 0
    for (id, logit) in logits.enumerated() where logit > logits[best] { best = id }
    return best
  }

  /// Tokens that may be chosen, most likely first, with their unnormalised probabilities.
  private func candidates(_ logits: [Float]) -> [(id: Int, weight: Double)] {
    let order = logits.indices.sorted { (logits[$0], $1) > (logits[$1], $0) }
    let kept = sampling.topK > 0 ? order.prefix(sampling.topK) : order[...]
    let top = Double(logits[order[0]])
    var weighted = kept.map {
      (id: $0, weight: exp((Double(logits[$0]) - top) / Double(sampling.temperature)))
    }
    if sampling.topP < 1 {
      let goal = Double(sampling.topP) * weighted.reduce(0) { $0 + $1.weight }
      var reached = 0.0
      let end = weighted.firstIndex { candidate in
        reached += candidate.weight
        return reached >= goal
      }
      weighted.removeSubrange(((end ?? weighted.count - 1) + 1)...)
    }
    // The most likely token has weight 1.
    return weighted.filter { $0.weight >= Double(sampling.minP) }
  }

  private mutating func draw(_ candidates: [(id: Int, weight: Double)]) -> Int {
    var rest = generator.uniform() * candidates.reduce(0) { $0 + $1.weight }
    for candidate in candidates {
      rest -= candidate.weight
      if rest < 0 { return candidate.id }
    }
    return candidates[candidates.count - 1].id
  }
}
