import MaTVLMTensor

/// How much each row of packed sequences counts.
package enum RowWeights {
  /// 1 / length of its sequence for each row.
  static func mean(_ segments: Segments) -> [Float] {
    segments.lengths.flatMap { Array(repeating: 1 / Float(max(1, $0)), count: $0) }
  }

  /// 1 / labels of its sequence for each row that has one, 0 for the others.
  package static func labels(_ labels: [Int], _ segments: Segments) -> [Float] {
    require(
      labels.count == segments.rows, "RowWeights: \(labels.count) labels, \(segments.rows) rows")
    return zip(segments.starts, segments.lengths).flatMap { start, length in
      let own = labels[start..<start + length]
      let count = own.count { $0 >= 0 }
      return own.map { $0 >= 0 ? 1 / Float(count) : 0 }
    }
  }
}
