import Foundation

/// All that decides what a model answers. Two parts of one answers file have the same.
public struct EvaluationSettings: Sendable, Hashable, Codable {
  /// What is asked.
  public let benchmark: BenchmarkName
  /// What the lines call the model.
  public let model: String
  /// How its weights were rounded when it was loaded; nil: they are used as stored.
  public let weights: String?
  /// How it is asked.
  public let prompt: PromptVariant
  /// How long answers can be.
  public let tokenLimit: TokenLimit
  /// Questions that go through the model together: sums are rounded otherwise in another batch.
  public let batchSize: Int
  /// Of the whole benchmark.
  public let questions: Int
  /// Questions whose text lists OCR tokens.
  public let questionsWithOcr: Int

  /// Settings of a run over `questions`, all that the benchmark has.
  public init(
    _ benchmark: BenchmarkName, model: String, weights: String? = nil, prompt: PromptVariant,
    tokenLimit: TokenLimit, batchSize: Int, _ questions: [Question]
  ) {
    (self.benchmark, self.model, self.prompt) = (benchmark, model, prompt)
    self.weights = weights
    (self.tokenLimit, self.batchSize) = (tokenLimit, batchSize)
    self.questions = questions.count
    questionsWithOcr = questions.count {
      $0.text.pythonContains(TextVQAPrompt.ocrLine) || $0.text.hasPrefix("OCR tokens: ")
    }
  }

  /// For people, in three lines.
  public var description: String {
    """
    \(benchmark.benchmark.title): \(questions) questions, model \(model)\(weights.map { ", weights \($0)" } ?? "")
    prompt \(prompt.rawValue), OCR tokens in \(questionsWithOcr) questions
    greedy, at most \(tokenLimit), \(batchSize) questions together
    """
  }

  /// Leaves these settings beside the answers; those of an earlier part must be the same.
  /// - Throws: ``EvaluationError/mismatch(path:reason:)``.
  func claim(_ file: URL) throws {
    guard FileManager.default.fileExists(atPath: file.path) else {
      return try OutputFiles.write(OutputFiles.json(self), to: file)
    }
    let earlier = try Self(contentsOf: file)
    guard earlier == self else {
      throw EvaluationError.mismatch(
        path: file.path,
        reason: "the answers beside it were begun otherwise (\(earlier.difference(from: self))); "
          + "choose another --output, or go on with the same settings")
    }
  }

  init(contentsOf file: URL) throws {
    self = try OutputFiles.read(file, "the settings of an evaluation")
  }

  func difference(from other: Self) -> String {
    [
      ("benchmark", benchmark.rawValue, other.benchmark.rawValue), ("model", model, other.model),
      ("weights", weights ?? "as stored", other.weights ?? "as stored"),
      ("prompt", prompt.rawValue, other.prompt.rawValue),
      ("limit", "\(tokenLimit)", "\(other.tokenLimit)"),
      ("batch size", "\(batchSize)", "\(other.batchSize)"),
      ("questions", "\(questions)", "\(other.questions)"),
      ("questions with OCR tokens", "\(questionsWithOcr)", "\(other.questionsWithOcr)"),
    ].filter { $1 != $2 }.map { "\($0) \($1), now \($2)" }.joined(separator: "; ")
  }
}

/// How long answers can be.
public struct TokenLimit: Sendable, Hashable, Codable, CustomStringConvertible {
  /// At most so many.
  public let tokens: Int
  /// As in the authors' scripts, where the prompt's tokens use the limit up.
  public let countsPrompt: Bool

  /// A limit of `tokens`.
  public init(_ tokens: Int, countsPrompt: Bool = false) {
    (self.tokens, self.countsPrompt) = (tokens, countsPrompt)
  }

  /// As in "512 new tokens".
  public var description: String {
    countsPrompt ? "\(tokens) tokens with the prompt's" : "\(tokens) new tokens"
  }

  /// New tokens after a prompt; at least one.
  public func newTokens(afterPrompt count: Int) -> Int {
    max(1, countsPrompt ? tokens - count : tokens)
  }
}
