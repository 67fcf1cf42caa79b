import Foundation

/// One line of an answers file, as the authors' scripts (`tinyllava/eval/model_vqa*.py`) write it.
public struct AnswerRecord: Sendable, Hashable {
  /// The question's id.
  public let questionID: RecordID
  /// What was asked, as the benchmark's scorer wants to find it.
  public let prompt: String
  /// What the model said.
  public let text: String
  /// Different for each line.
  public let answerID: String
  /// What the model is called.
  public let modelID: String
  /// Of MMBench only.
  public let round: OptionRound?
  /// Why the model was not asked; the text is empty then.
  public let failure: String?

  /// A line of the given values.
  public init(
    questionID: RecordID, prompt: String, text: String, answerID: String = "",
    modelID: String = "", round: OptionRound? = nil, failure: String? = nil
  ) {
    (self.questionID, self.prompt, self.text) = (questionID, prompt, text)
    (self.answerID, self.modelID) = (answerID, modelID)
    (self.round, self.failure) = (round, failure)
  }

  /// Every line of an answers file, whoever wrote it.
  /// - Throws: ``EvaluationError`` naming the line that is none.
  public static func read(_ file: URL) throws -> [AnswerRecord] {
    try InputFile.jsonLines(file, "an answer: an object with question_id and text")
  }

  /// The line without its line feed.
  package var line: String {
    var members: [(String, OrderedJSON)] = [("question_id", questionID.json)]
    if let round { members.append(("round_id", .integer(round.number))) }
    members += [("prompt", .string(prompt)), ("text", .string(text))]
    if let round {
      members += [
        ("options", .array(round.options.map { .string($0) })),
        ("option_char", .array(round.letters.map { .string($0) })),
      ]
    }
    members += [
      ("answer_id", .string(answerID)), ("model_id", .string(modelID)),
      ("metadata", .object(failure.map { [("error", .string($0))] } ?? [])),
    ]
    return OrderedJSON.object(members).text
  }
}

/// The options of a question in the order in which they were shown.
public struct OptionRound: Sendable, Hashable {
  /// How often the options were rotated.
  public let number: Int
  /// In the order shown.
  public let options: [String]
  /// For each place, the letter that its option has before rotation.
  public let letters: [String]

  /// A round of the given values.
  public init(number: Int, options: [String], letters: [String]) {
    (self.number, self.options, self.letters) = (number, options, letters)
  }
}

extension AnswerRecord: Decodable {
  private enum Key: String, CodingKey {
    case prompt, text, options, metadata
    case questionID = "question_id"
    case answerID = "answer_id"
    case modelID = "model_id"
    case round = "round_id"
    case letters = "option_char"
  }

  private struct Metadata: Decodable {
    let error: String?
  }

  /// Reads a line; only `question_id` and `text` have to be there.
  public init(from decoder: any Decoder) throws {
    let values = try decoder.container(keyedBy: Key.self)
    questionID = try values.decode(RecordID.self, forKey: .questionID)
    text = try values.decode(String.self, forKey: .text)
    // The authors' MMMU script stores the list of all questions here, by mistake.
    prompt = (try? values.decode(String.self, forKey: .prompt)) ?? ""
    answerID = (try? values.decode(String.self, forKey: .answerID)) ?? ""
    modelID = (try? values.decode(String.self, forKey: .modelID)) ?? ""
    failure = (try? values.decode(Metadata.self, forKey: .metadata))?.error
    round = try values.decodeIfPresent(Int.self, forKey: .round).map {
      OptionRound(
        number: $0, options: try values.decode([String].self, forKey: .options),
        letters: try values.decode([String].self, forKey: .letters))
    }
  }
}
