import MaTVLMTensor

/// Where the Mamba-2 mixers of a student go.
public enum LayerPlacement: String, Sendable, Hashable, Codable, CaseIterable {
  /// Every n-th layer from layer 0: 0, 4, 8, … at 25 %.
  case even
  /// The first layers.
  case beginning
  /// The layers in the middle.
  case middle
  /// The last layers; in the paper's ablation such students answer incoherently.
  case end

  /// The layers that are replaced.
  ///
  /// - Parameters:
  ///   - ratio: which part of the layers, above 0 and at most 1; at least one layer is replaced.
  ///   - count: layers of the decoder.
  /// - Returns: sorted layers.
  /// - Precondition: the ratio is in range.
  public func layers(ratio: Double, of count: Int) -> [Int] {
    require(ratio > 0 && ratio <= 1, "LayerPlacement: ratio \(ratio)")
    let replaced = min(count, max(1, Int((ratio * Double(count)).rounded())))
    switch self {
    case .even: return (0..<replaced).map { $0 * count / replaced }
    case .beginning: return Array(0..<replaced)
    case .middle: return Array((count - replaced) / 2..<(count - replaced) / 2 + replaced)
    case .end: return Array(count - replaced..<count)
    }
  }
}
