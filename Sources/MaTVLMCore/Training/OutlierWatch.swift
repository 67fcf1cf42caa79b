/// What to do about an update whose loss or gradient norm is far out of the ordinary.
public enum OutlierPolicy: String, Sendable, Hashable, Codable, CaseIterable {
  /// Say so.
  case report
  /// Say so, and leave the parameters as they were.
  case skip
}

/// A loss or a gradient norm far above those of the updates before it.
public struct Outlier: Sendable, Hashable {
  public enum Quantity: String, Sendable, Hashable {
    case loss
    case gradientNorm = "gradient_norm"
  }

  public let quantity: Quantity
  public let value: Double
  /// Of the last updates.
  public let median: Double
  /// Whether the update was left out.
  public internal(set) var isSkipped = false
}

/// The losses and gradient norms of the last updates. Their median is moved neither by an outlier nor
/// by a few, and follows when what was out of the ordinary becomes ordinary.
struct OutlierWatch: Sendable, Hashable, Codable {
  private static let window = 64
  /// The first updates differ much; nothing is judged by so few.
  private static let enough = 16

  private var losses: [Double] = []
  private var norms: [Double] = []

  /// Takes an update in.
  /// - Returns: what is more than `factor` times the median of the updates before.
  mutating func judge(loss: Double, norm: Double, factor: Double) -> Outlier? {
    defer {
      losses = (losses + [loss]).suffix(Self.window)
      norms = (norms + [norm]).suffix(Self.window)
    }
    guard min(losses.count, norms.count) >= Self.enough else { return nil }
    for (quantity, value, earlier) in [
      (Outlier.Quantity.gradientNorm, norm, norms), (.loss, loss, losses),
    ] {
      let median = earlier.sorted()[earlier.count / 2]
      if value > factor * median {
        return Outlier(quantity: quantity, value: value, median: median)
      }
    }
    return nil
  }
}
