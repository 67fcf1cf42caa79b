import Foundation
import MaTVLMImages

/// A question as the model gets it.
public struct AskedQuestion: Sendable {
  /// Without template and placeholder.
  public let text: String
  /// Decoded, of any size.
  public let picture: RGBImage?

  /// A question about a picture, or about none.
  public init(text: String, picture: RGBImage?) { (self.text, self.picture) = (text, picture) }
}

/// Asks a benchmark's questions, and writes each answer's line as it comes.
public struct BenchmarkRun {
  /// What decides the answers.
  public let settings: EvaluationSettings
  private let questions: ArraySlice<Question>
  private let images: ImageFolder?
  private let file: AnswerFile
  /// What is wrong with the questions so far.
  public private(set) var problems: [Problem]

  /// Prepares to answer a shard, or to go on with it.
  ///
  /// - Parameters:
  ///   - questions: of the whole benchmark.
  ///   - images: what pictures are relative to.
  ///   - folder: gets the answers and the settings.
  /// - Throws: ``EvaluationError``: earlier answers are of other questions or settings, or the folder
  ///   cannot be written.
  public init(
    _ settings: EvaluationSettings, _ questions: [Question], shard: Shard = .whole, images: URL?,
    in folder: EvaluationFolder
  ) throws {
    self.settings = settings
    self.questions = questions[shard.range(of: questions.count)]
    self.images = images.map(ImageFolder.init)
    problems = Self.duplicates(questions, settings.benchmark.benchmark.hasUniqueIDs)
    try folder.create()
    try settings.claim(folder.settings(settings.benchmark, shard))
    file = try AnswerFile(folder.answers(settings.benchmark, shard), self.questions)
  }

  /// Ids that the file has more than once; where ids are of pictures, those with the same words.
  private static func duplicates(_ questions: [Question], _ hasUniqueIDs: Bool) -> [Problem] {
    var seen: Set<[String]> = []
    return questions.compactMap { question in
      let round = question.round.map { "\($0.number)" } ?? ""
      return seen.insert(["\(question.id)", hasUniqueIDs ? "" : question.recorded, round]).inserted
        ? nil : Problem(.duplicateID, question.id, "it is in the question file again; asked again")
    }
  }

  /// Questions of this shard.
  public var count: Int { questions.count }

  /// Answers what is not answered yet.
  ///
  /// Batches are the same wherever an earlier run stopped: one that was cut is asked whole again, and
  /// only the missing lines are written.
  ///
  /// - Parameters:
  ///   - ask: one answer for each question.
  ///   - progress: gets the number of questions that are done.
  /// - Throws: ``EvaluationError`` when the file cannot be written, and what `ask` throws; every
  ///   answer that was written stays.
  public mutating func run(
    _ ask: ([AskedQuestion]) throws -> [String], progress: (Int) -> Void = { _ in }
  ) throws {
    let all = Array(questions)
    for start in stride(from: 0, to: all.count, by: settings.batchSize) {
      let batch = start..<min(all.count, start + settings.batchSize)
      let missing = batch.filter { !file.ledger.isAnswered($0) }
      if !missing.isEmpty {
        let records = try answer(all[batch], ask)
        try file.append(missing.map { records[$0 - start] })
      }
      progress(batch.upperBound)
    }
    try file.finish()
  }

  private mutating func answer(
    _ batch: ArraySlice<Question>, _ ask: ([AskedQuestion]) throws -> [String]
  ) throws -> [AnswerRecord] {
    var failures: [Int: String] = [:]
    var asked: [(index: Int, question: AskedQuestion)] = []
    for (index, question) in zip(batch.indices, batch) where question.settled == nil {
      do {
        let picture = try question.loadPicture(from: images)
        asked.append((index, AskedQuestion(text: question.text, picture: picture)))
      } catch {
        failures[index] = "\(error)"
        problems.append(Problem(.notAsked, question.id, "\(error)"))
      }
    }
    let texts = asked.isEmpty ? [] : try ask(asked.map(\.question))
    precondition(
      texts.count == asked.count, "run: \(texts.count) answers to \(asked.count) questions")
    let answers = Dictionary(uniqueKeysWithValues: zip(asked.map(\.index), texts))
    return zip(batch.indices, batch).map { index, question in
      AnswerRecord(
        questionID: question.id, prompt: question.recorded,
        text: question.settled ?? answers[index] ?? "", answerID: answerID(question),
        modelID: settings.model, round: question.round, failure: failures[index])
    }
  }

  private static let alphabet = Array("23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")

  /// 22 characters as the authors' `shortuuid`, but the same in every run.
  private func answerID(_ question: Question) -> String {
    let name =
      "\(settings.benchmark.rawValue)\n\(settings.model)\n\(question.id)\n\(question.recorded)"
      + "\n\(question.round?.number ?? 0)"
    var id = ""
    for seed in [1, 2] as [UInt64] {
      var hash = SeededChoice.hash(name, seed: seed)
      for _ in 0..<11 {
        id.append(Self.alphabet[Int(hash % 57)])
        hash /= 57
      }
    }
    return id
  }
}
