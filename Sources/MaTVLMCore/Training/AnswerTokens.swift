import MaTVLMDistillation
import MaTVLMTensor

extension LossSums {
  /// Logits of so many rows are on the host at a time.
  private static let chunk = 128

  /// Counts the answers' tokens, and those that the model finds the most likely.
  ///
  /// - Parameter rows: the decoder's final rows [T, D] of the batch.
  mutating func count(_ rows: Tensor, _ batch: Batch, _ decoder: HybridDecoder) {
    let labels = batch.spliced.nextTokens
    let places = labels.indices.filter { labels[$0] >= 0 }
    for start in stride(from: 0, to: places.count, by: Self.chunk) {
      let part = places[start..<min(start + Self.chunk, places.count)]
      let picked = gatherRows(rows, Tensor(indices: Array(part), on: rows.device))
      let logits = decoder.head(picked)  // [rows of the part, V]
      let (values, width) = (logits.array(), logits.shape.width)
      for (row, place) in part.enumerated() {
        let scores = values[row * width..<(row + 1) * width]
        let best = scores.indices.max { scores[$0] < scores[$1] }
        rightTokens += best == row * width + labels[place] ? 1 : 0
      }
    }
    answerTokens += places.count
  }
}
