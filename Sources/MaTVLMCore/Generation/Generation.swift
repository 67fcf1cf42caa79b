import MaTVLMImages
import MaTVLMText

/// A prompt and how to answer it.
public struct GenerationRequest: Sendable {
  /// Token ids, −200 where a picture stands.
  public var promptIDs: [Int]
  /// As many as there are placeholders, in their order.
  public var pictures: [RGBImage]
  /// New tokens at most, the end token counted in.
  public var maximumTokens = 512
  public var sampling = Sampling()
  /// The answer ends before the first of these texts.
  public var stopTexts: [String] = []

  public init(promptIDs: [Int], pictures: [RGBImage] = []) {
    (self.promptIDs, self.pictures) = (promptIDs, pictures)
  }
}

/// An answer.
public struct Generation: Sendable, Hashable {
  /// Why an answer ended.
  public enum End: String, Sendable, Hashable, Codable {
    case endToken = "end-token"
    case stopText = "stop-text"
    case maximumTokens = "maximum-tokens"
    /// The caller asked for no more.
    case caller
  }

  public let promptIDs: [Int]
  /// New tokens, the end token last if it came.
  public let ids: [Int]
  /// The text of these without special tokens.
  public let text: String
  public let end: End
  /// Rows of the prompt that were read for this answer, image rows counted in; a session has read
  /// the others before.
  public let promptRows: Int
  /// From the start of the prompt to the first new token.
  public let promptSeconds: Double
  /// From the start of the prompt to the last new token.
  public let seconds: Double

  /// New tokens after the first, per second since the first.
  public var tokensPerSecond: Double {
    let decoding = seconds - promptSeconds
    return ids.count > 1 && decoding > 0 ? Double(ids.count - 1) / decoding : 0
  }
}

/// What is wrong with a request.
public enum GenerationError: Error, Sendable, Hashable, CustomStringConvertible {
  case emptyPrompt
  case pictures(placeholders: Int, pictures: Int)
  case unknownToken(id: Int, vocabulary: Int)
  case maximumTokens(Int)
  case sampling(String)
  case notFinite(row: Int)

  public var description: String {
    switch self {
    case .emptyPrompt: "the prompt has no tokens; give it a text or a picture"
    case .pictures(let placeholders, let pictures):
      "the prompt has \(placeholders) <image> and \(pictures) pictures were given; "
        + "give one picture for each"
    case .unknownToken(let id, let vocabulary):
      "token \(id) is not in the model's vocabulary of \(vocabulary); "
        + "the tokenizer belongs to another model"
    case .maximumTokens(let count): "\(count) new tokens were asked for; ask for at least one"
    case .sampling(let problem): problem
    case .notFinite(let row):
      "the model's logits are not finite at row \(row); its weights are damaged"
    }
  }
}
