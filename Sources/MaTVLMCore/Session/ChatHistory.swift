import MaTVLMImages
import MaTVLMText

/// A conversation as the model reads it.
public struct ChatHistory: Sendable, Equatable {
  /// Token ids, −200 where a picture stands.
  public internal(set) var ids: [Int] = []
  /// As many as there are placeholders, in their order; each of the size that the model takes.
  public internal(set) var pictures: [RGBImage] = []

  /// How many ids from the start are the same in both, pictures compared by their pixels.
  func commonPrefix(with other: ChatHistory) -> Int {
    var own = pictures.makeIterator()
    var others = other.pictures.makeIterator()
    for (index, (id, otherID)) in zip(ids, other.ids).enumerated() {
      guard id == otherID else { return index }
      if id == PromptTemplate.imageTokenID, own.next() != others.next() { return index }
    }
    return min(ids.count, other.ids.count)
  }

  /// The first `count` ids with their pictures.
  func prefix(_ count: Int) -> ChatHistory {
    let ids = Array(ids.prefix(count))
    return ChatHistory(ids: ids, pictures: Array(pictures.prefix(Self.placeholders(ids))))
  }

  /// Rows of the decoder that it becomes.
  func rows(tokensPerPicture: Int) -> Int { ids.count + pictures.count * (tokensPerPicture - 1) }

  static func placeholders(_ ids: some Sequence<Int>) -> Int {
    ids.count { $0 == PromptTemplate.imageTokenID }
  }
}
