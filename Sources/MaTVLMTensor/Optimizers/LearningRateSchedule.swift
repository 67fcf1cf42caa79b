import Foundation

/// Warm-up, hold, decay: Hugging Face's `warmup_stable_decay` with a cosine decay to zero.
public struct LearningRateSchedule: Sendable, Hashable, Codable {
  /// The rate while it holds.
  public var peak: Double
  /// Updates over which the rate rises linearly; the first update runs at rate 0 when this is not 0.
  public var warmup: Int
  /// Updates at the peak.
  public var stable: Int
  /// Updates over which the rate falls along half a cosine; afterwards it is 0.
  public var decay: Int

  public init(peak: Double, warmup: Int, stable: Int, decay: Int) {
    (self.peak, self.warmup, self.stable, self.decay) = (peak, warmup, stable, decay)
  }

  /// A schedule over `total` updates.
  /// - Precondition: warm-up and decay fit into `total`.
  public init(peak: Double, warmup: Int, decay: Int, total: Int) {
    require(
      warmup >= 0 && decay >= 0 && warmup + decay <= total,
      "LearningRateSchedule: \(warmup) + \(decay) updates of warm-up and decay in \(total)")
    self.init(peak: peak, warmup: warmup, stable: total - warmup - decay, decay: decay)
  }

  /// The rate of the update with this number, counted from 0.
  public func rate(at update: Int) -> Double {
    if update < warmup { return peak * Double(update) / Double(max(1, warmup)) }
    if update < warmup + stable { return peak }
    if update < warmup + stable + decay {
      let progress = Double(update - warmup - stable) / Double(max(1, decay))
      return peak * max(0, 0.5 * (1 + cos(.pi * progress)))
    }
    return 0
  }
}
