import Foundation
import MaTVLMEvaluation
import MaTVLMImages
import MaTVLMTestSupport

/// Files of a benchmark in their official shapes, in small, written for one test.
struct BenchmarkFolder {
  let folder: TemporaryFolder
  let name: BenchmarkName
  var files: BenchmarkFiles

  init(_ name: BenchmarkName) throws {
    (folder, self.name) = (try TemporaryFolder(), name)
    files = BenchmarkFiles(folder.url, name.benchmark.layout)
  }

  var benchmark: any Benchmark { name.benchmark }

  func write(_ path: String, _ text: String) throws { try folder.write(path, Data(text.utf8)) }

  func writeLines(_ path: String, _ objects: [[String: Any]]) throws {
    let lines = try objects.map {
      String(decoding: try JSONSerialization.data(withJSONObject: $0), as: UTF8.self) + "\n"
    }
    try write(path, lines.joined())
  }

  func writeJSON(_ path: String, _ value: Any) throws {
    try folder.write(path, JSONSerialization.data(withJSONObject: value))
  }

  /// A picture of one grey.
  static func picture(_ grey: UInt8 = 128) throws -> Data {
    try RGBImage(width: 4, height: 3, pixels: Array(repeating: grey, count: 36)).pngData()
  }

  func writePictures(_ paths: String...) throws {
    for (index, path) in paths.enumerated() {
      try folder.write(path, Self.picture(UInt8(index + 1)))
    }
  }

  func questions(_ prompt: PromptVariant = .published) throws -> [Question] {
    try benchmark.questions(files, prompt)
  }

  /// Asks everything, answering by `answer`; returns what was written.
  func run(
    _ prompt: PromptVariant = .published, batchSize: Int = 2,
    answer: (AskedQuestion) -> String
  ) throws -> (records: [AnswerRecord], lines: [String], problems: [Problem]) {
    let questions = try questions(prompt)
    let settings = EvaluationSettings(
      name, model: "model", prompt: prompt, tokenLimit: TokenLimit(8), batchSize: batchSize,
      questions)
    let output = EvaluationFolder(folder["run"])
    var run = try BenchmarkRun(
      settings, questions, images: files.imagesIfNeeded(by: questions), in: output)
    try run.run { $0.map(answer) }
    let file = output.answers(name)
    let text = try String(contentsOf: file, encoding: .utf8)
    return (
      try AnswerRecord.read(file), text.split(separator: "\n").map(String.init), run.problems
    )
  }

  /// Scores texts given as (id, prompt, text).
  func score(_ answers: [(id: String, prompt: String, text: String)]) throws -> ScoreReport? {
    try benchmark.score(
      answers.map { AnswerRecord(questionID: .text($0.id), prompt: $0.prompt, text: $0.text) },
      files, seed: 0)
  }
}

extension ScoreReport {
  /// Kinds and ids of what was reported.
  var reported: [String] { problems.map { "\($0.kind.rawValue): \($0.id)" } }
}
