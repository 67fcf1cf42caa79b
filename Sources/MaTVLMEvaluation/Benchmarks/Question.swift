import Foundation
import MaTVLMImages

/// One thing to ask.
public struct Question: Sendable {
  /// Where its picture is.
  public enum Picture: Sendable, Hashable {
    /// A path in the image folder.
    case file(String)
    /// A JPEG or PNG in base64.
    case base64(Data)
  }

  /// As its file has it.
  public let id: RecordID
  /// What the model reads beside the picture.
  public let text: String
  /// What the answer's line keeps of it.
  public let recorded: String
  /// nil: a question without one.
  public let picture: Picture?
  /// Of MMBench only.
  public let round: OptionRound?
  /// An answer that is given without asking the model.
  public let settled: String?

  init(
    _ id: RecordID, _ text: String, recorded: String? = nil, picture: Picture? = nil,
    round: OptionRound? = nil, settled: String? = nil
  ) {
    (self.id, self.text, self.recorded) = (id, text, recorded ?? text)
    (self.picture, self.round, self.settled) = (picture, round, settled)
  }

  /// Reads and decodes the picture; nil when the question has none.
  /// - Throws: ``ImageError``.
  package func loadPicture(from folder: ImageFolder?) throws -> RGBImage? {
    switch picture {
    case nil: return nil
    case .file(let path):
      guard let folder else {
        throw ImageError.unreadable(path: path, reason: "no image folder was given")
      }
      return try folder.image(path)
    case .base64(let text):
      let bytes = Data(base64Encoded: text, options: .ignoreUnknownCharacters) ?? Data()
      return try RGBImage(decoding: bytes, name: "picture of question \(id)")
    }
  }
}
