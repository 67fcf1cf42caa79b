/// A question's id as its benchmark writes it: a number or a text.
public enum RecordID: Sendable, Hashable, Decodable, CustomStringConvertible {
  case number(Int)
  case text(String)

  /// Reads a whole number or a text.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let number = try? container.decode(Int.self) {
      self = .number(number)
    } else {
      self = .text(try container.decode(String.self))
    }
  }

  /// The same for a number and for its digits: question files and annotations do not agree on which.
  public var description: String {
    switch self {
    case .number(let number): "\(number)"
    case .text(let text): text
    }
  }

  var json: OrderedJSON {
    switch self {
    case .number(let number): .integer(number)
    case .text(let text): .string(text)
    }
  }
}
