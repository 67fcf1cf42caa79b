import Foundation

/// From values to places in a picture.
struct Axis: Sendable {
  let isLog: Bool
  private let lower: Double
  private let upper: Double
  private let start: Double
  private let end: Double

  /// - Parameter mayBeLog: whether values that differ hundredfold, all above 0, are drawn by their
  ///   logarithm.
  init(_ values: [Double], from start: Double, to end: Double, mayBeLog: Bool) {
    (self.start, self.end) = (start, end)
    let finite = values.filter(\.isFinite)
    let (low, high) = (finite.min() ?? 0, finite.max() ?? 1)
    isLog = mayBeLog && low > 0 && high > 100 * low
    if isLog {
      (lower, upper) = (log10(low), log10(high))
    } else {
      // A curve that never changes lies in the middle.
      let margin = high > low ? 0 : max(abs(high), 1) / 2
      (lower, upper) = (low - margin, high + margin)
    }
  }

  func place(_ value: Double) -> Double {
    guard value.isFinite else { return end }
    return start + (end - start) * ((isLog ? log10(value) : value) - lower) / (upper - lower)
  }

  /// Round numbers within the axis, four or so.
  var ticks: [Double] {
    if isLog {
      let step = max(1, Int((upper - lower) / 4))
      return stride(from: Int(lower.rounded(.up)), through: Int(upper.rounded(.down)), by: step)
        .map { pow(10, Double($0)) }
    }
    let rough = (upper - lower) / 4
    let power = pow(10, log10(rough).rounded(.down))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? 10 * power
    let (first, last) = ((lower / step).rounded(.up), (upper / step).rounded(.down))
    guard first <= last else { return [] }
    return stride(from: first, through: last, by: 1).map { $0 * step }
  }
}
