/// A number of a score, named as in `random.f1`.
public struct Figure: Sendable, Hashable, Codable {
  /// Lower-case, parts separated by points.
  public let name: String
  /// Per cent, unless it is a count, a ratio of POPE or points of MME.
  public let value: Double

  init(_ name: String, _ value: Double) { (self.name, self.value) = (name, value) }
}

/// A benchmark's score by one rule.
public struct Score: Sendable, Hashable, Codable {
  /// `published`: what the authors' or the benchmark's own script computes, its slips included;
  /// `corrected`: without these slips.
  public enum Rule: String, Sendable, Hashable, Codable { case published, corrected }

  /// Whose rule.
  public let rule: Rule
  /// What the rule is, in a sentence, where that is not plain.
  public let note: String
  /// The number that the paper's table has: points of MME, per cent otherwise.
  public let headline: Double
  /// All that the rule's script prints.
  public let figures: [Figure]

  init(_ rule: Rule, headline: Double, _ figures: [Figure], note: String = "") {
    (self.rule, self.headline, self.figures, self.note) = (rule, headline, figures, note)
  }

  /// The value of a figure.
  public subscript(_ name: String) -> Double? { figures.first { $0.name == name }?.value }
}

/// Scores of one answers file.
public struct ScoreReport: Sendable, Hashable, Codable {
  /// Whose answers these are.
  public let benchmark: BenchmarkName
  /// Answers that were read.
  public let answers: Int
  /// The published rule first.
  public let scores: [Score]
  /// Everything about the files that a reader of the scores should know, with ids.
  public let problems: [Problem]

  /// The score by a rule, where there is one.
  public subscript(_ rule: Score.Rule) -> Score? { scores.first { $0.rule == rule } }
}

/// Something wrong with one question or answer. It is reported, and the rest goes on.
public struct Problem: Sendable, Hashable, Codable, CustomStringConvertible {
  /// What is wrong.
  public enum Kind: String, Sendable, Hashable, Codable {
    case duplicateID = "duplicate id"
    case notAsked = "not asked"
    case emptyAnswer = "empty answer"
    case missingAnswer = "missing answer"
    case missingAnnotation = "missing annotation"
    case unknownCategory = "unknown category"
    case unmatchedAnswer = "answer without an option"
    case count = "counts differ"
  }

  /// What is wrong.
  public let kind: Kind
  /// The question's id, or the category's name.
  public let id: String
  /// What follows from it.
  public let detail: String

  init(_ kind: Kind, _ id: some CustomStringConvertible, _ detail: String) {
    (self.kind, self.id, self.detail) = (kind, "\(id)", detail)
  }

  /// Kind, id and detail in one line.
  public var description: String { "\(kind.rawValue): \(id): \(detail)" }
}

/// 100 · `part` / `whole`; 0 of nothing.
func percentage(_ part: Double, of whole: Int) -> Double {
  whole == 0 ? 0 : 100 * part / Double(whole)
}

func percentage(_ part: Int, of whole: Int) -> Double { percentage(Double(part), of: whole) }
