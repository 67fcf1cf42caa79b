import Foundation

/// A line of LLaVA's question files.
struct LLaVAQuestion: Decodable {
  let id: RecordID
  let image: String?
  let text: String
  let category: String?

  private enum CodingKeys: String, CodingKey {
    case id = "question_id"
    case image, text, category
  }

  static func read(_ url: URL) throws -> [LLaVAQuestion] {
    try InputFile.jsonLines(url, "an object with question_id, text and, for a picture, image")
  }

  /// Asked as it stands.
  var question: Question { Question(id, text, picture: image.map { .file($0) }) }
}

extension Benchmark {
  /// The questions of a LLaVA file as they stand, which is what most benchmarks ask.
  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question] {
    try LLaVAQuestion.read(files.questions).map(\.question)
  }
}
