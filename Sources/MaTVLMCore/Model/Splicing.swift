import MaTVLMTensor
import MaTVLMText

/// Token sequences whose image placeholders have become runs of image rows: which row comes from
/// where, and the label of each.
public struct SplicedSequences: Sendable, Hashable {
  public let segments: Segments
  /// Token ids of all text rows.
  package let textTokens: [Int]
  /// The row of each of these.
  package let textRows: [Int]
  /// For each image row that is used, its number among the rows of all pictures.
  package let imageSources: [Int]
  /// The row of each of these.
  package let imageRows: [Int]
  /// For each row the token that follows it, −100 where none is to be learned.
  public let nextTokens: [Int]
  /// Pictures that the sequences take, in order.
  public let pictures: Int

  /// - Parameters:
  ///   - sequences: ids; each id −200 takes the next picture.
  ///   - labels: for each sequence a label for each id, −100 for none; nil: no labels.
  ///   - tokensPerPicture: rows that a picture becomes.
  ///   - maximumLength: rows that a sequence is cut to; nil: not cut.
  public init(
    _ sequences: [[Int]], labels: [[Int]]? = nil, tokensPerPicture: Int, maximumLength: Int? = nil
  ) {
    var rows = Rows()
    let ignored = PromptTemplate.ignoredLabel
    for (index, ids) in sequences.enumerated() {
      let limit = rows.count + (maximumLength ?? .max - rows.count)
      let start = rows.count
      for (position, id) in ids.enumerated() {
        if id == PromptTemplate.imageTokenID {
          rows.appendPicture(tokensPerPicture, label: ignored, limit: limit)
        } else if rows.count < limit {
          rows.appendText(id, label: labels?[index][position] ?? ignored)
        }
      }
      rows.lengths.append(rows.count - start)
    }
    segments = Segments(rows.lengths)
    (textTokens, textRows) = (rows.textTokens, rows.textRows)
    (imageSources, imageRows) = (rows.imageSources, rows.imageRows)
    pictures = rows.pictures
    var next = Array(rows.labels.dropFirst()) + [ignored]
    for end in segments.starts.dropFirst() where end > 0 { next[end - 1] = ignored }
    nextTokens = rows.count == 0 ? [] : next
  }

  private init(_ whole: SplicedSequences, _ part: Range<Int>, _ segments: Segments) {
    self.segments = segments
    let texts = whole.textRows.indices.filter { part.contains(whole.textRows[$0]) }
    textTokens = texts.map { whole.textTokens[$0] }
    textRows = texts.map { whole.textRows[$0] - part.lowerBound }
    let images = whole.imageRows.indices.filter { part.contains(whole.imageRows[$0]) }
    imageSources = images.map { whole.imageSources[$0] }
    imageRows = images.map { whole.imageRows[$0] - part.lowerBound }
    nextTokens = Array(whole.nextTokens[part])
    pictures = imageRows.isEmpty ? 0 : whole.pictures
  }

  /// Some of the rows, in other sequences; image rows still have their numbers among all.
  /// - Precondition: `segments` has as many rows.
  func part(_ rows: Range<Int>, _ segments: Segments) -> SplicedSequences {
    require(
      segments.rows == rows.count && rows.upperBound <= self.segments.rows,
      "splicing: rows \(rows) of \(self.segments.rows) in \(segments.lengths)")
    return SplicedSequences(self, rows, segments)
  }

  private struct Rows {
    var lengths: [Int] = []
    var textTokens: [Int] = []
    var textRows: [Int] = []
    var imageSources: [Int] = []
    var imageRows: [Int] = []
    var labels: [Int] = []
    var pictures = 0
    var count: Int { labels.count }

    mutating func appendText(_ id: Int, label: Int) {
      textTokens.append(id)
      textRows.append(count)
      labels.append(label)
    }

    mutating func appendPicture(_ tokens: Int, label: Int, limit: Int) {
      let used = max(0, min(tokens, limit - count))
      imageSources.append(contentsOf: pictures * tokens..<pictures * tokens + used)
      imageRows.append(contentsOf: count..<count + used)
      labels.append(contentsOf: repeatElement(label, count: used))
      pictures += 1
    }
  }

  /// Puts token embeddings and image rows in their places.
  ///
  /// - Parameter images: [pictures · tokens, D]; nil when there is no picture.
  /// - Returns: [T, D]
  /// - Precondition: there are rows for every picture.
  package func rows(_ embedding: Embedding, images: Tensor?) -> Tensor {
    let device = embedding.weight.value.device
    let tokens = embedding(Tensor(indices: textTokens, on: device))  // [text rows, D]
    guard pictures > 0 else { return tokens }
    guard let images else { fatalError("splicing: \(pictures) pictures, no image rows") }
    let placed = scatterRows(
      tokens, to: Tensor(indices: textRows, on: device), count: segments.rows)
    let whole = imageSources.count == images.shape.rows
    let used = whole ? images : gatherRows(images, Tensor(indices: imageSources, on: device))
    return placed
      + scatterRows(used, to: Tensor(indices: imageRows, on: device), count: segments.rows)
  }
}
