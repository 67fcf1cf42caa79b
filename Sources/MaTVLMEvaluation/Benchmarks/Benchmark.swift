/// The nine benchmarks of the paper, by the names of the command line.
public enum BenchmarkName: String, Sendable, Hashable, Codable, CaseIterable {
  // In the order of the paper's table.
  case mme, mmbench, textvqa, gqa
  case mmvet = "mm-vet"
  case scienceqa, pope, mmmu, vqav2

  /// What is known about it.
  public var benchmark: any Benchmark {
    switch self {
    case .mme: MME()
    case .mmbench: MMBench()
    case .textvqa: TextVQA()
    case .gqa: GQA()
    case .mmvet: MMVet()
    case .scienceqa: ScienceQA()
    case .pope: POPE()
    case .mmmu: MMMU()
    case .vqav2: VQAv2()
    }
  }
}

/// One benchmark: what its files are called, what is asked, and how answers are judged.
///
/// Source of files, prompts and rules: the authors' `scripts/eval` and `tinyllava/eval`, and the
/// benchmarks' own scripts where these leave off.
public protocol Benchmark: Sendable {
  var name: BenchmarkName { get }
  /// As papers spell it.
  var title: String { get }
  /// Where its files lie in a folder that was laid out by LLaVA's instructions.
  var layout: BenchmarkLayout { get }
  /// The authors' limit on tokens.
  var tokenLimit: Int { get }
  /// The prompts that can be chosen, the published one first.
  var prompts: [PromptVariant] { get }

  /// Whether an id names one question. False where it names a picture, with several questions.
  var hasUniqueIDs: Bool { get }

  /// Everything to ask, in order.
  /// - Throws: ``EvaluationError`` when a file is missing or not of its shape.
  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question]

  /// Judges answers where the rule and the right answers are here.
  ///
  /// - Parameter seed: of the guesses that a rule asks for.
  /// - Returns: nil when only a server or a judge can tell.
  /// - Throws: ``EvaluationError`` when a file is missing or not of its shape.
  func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?

  /// What is uploaded, or given to the benchmark's own program.
  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
}

extension Benchmark {
  /// 512.
  public var tokenLimit: Int { 512 }
  /// The published one.
  public var prompts: [PromptVariant] { [.published] }
  /// They are.
  public var hasUniqueIDs: Bool { true }

  /// Nothing: a server or a judge decides.
  public func score(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> ScoreReport?
  { nil }

  /// None.
  public func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  { [] }

  /// A report of what `answers` came to.
  func report(_ answers: AnswerSet, _ scores: [Score]) -> ScoreReport {
    ScoreReport(
      benchmark: name, answers: answers.records.count, scores: scores, problems: answers.problems)
  }
}

/// A file to hand in.
public struct SubmissionFile: Sendable, Hashable {
  /// Relative to the folder of submissions.
  public let name: String
  /// Its content.
  public let bytes: [UInt8]

  init(_ name: String, _ text: String) { (self.name, bytes) = (name, Array(text.utf8)) }

  init(_ name: String, bytes: [UInt8]) { (self.name, self.bytes) = (name, bytes) }
}

/// What is said to the model beside the question of the file. Scores of different prompts do not
/// compare.
public enum PromptVariant: String, Sendable, Hashable, Codable, CaseIterable {
  /// As the authors' scripts run it.
  case published
  /// A last line asks for the option's letter alone, as LLaVA does.
  case singleAnswer = "single-answer"
  /// The same in Chinese.
  case singleAnswerChinese = "single-answer-chinese"
  /// Options are asked in every rotation.
  case allRounds = "all-rounds"
  /// Without the line of OCR tokens that the question file has.
  case withoutOCR = "without-ocr"
  /// Questions without a usable picture are asked, in place of guessed.
  case textOnly = "text-only"

  /// The line that is added to a question with options.
  var suffix: String {
    switch self {
    case .singleAnswer: "\nAnswer with the option's letter from the given choices directly."
    case .singleAnswerChinese: "\n请直接回答选项字母。"
    default: ""
    }
  }
}
