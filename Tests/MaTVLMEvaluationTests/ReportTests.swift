import Foundation
import MaTVLMEvaluation
import MaTVLMTestSupport
import Testing

@Suite("The table of evaluations")
struct ReportTests {
  /// A folder with a GQA score of 50 and what a server said.
  private func evaluation(_ name: String, server: String?) throws -> (
    BenchmarkFolder, EvaluationFolder
  ) {
    let gqa = try BenchmarkFolder(.gqa)
    try gqa.writeJSON(
      "testdev_balanced_questions.json", ["1": ["answer": "x"], "2": ["answer": "y"]])
    let folder = EvaluationFolder(gqa.folder[name])
    try folder.create()
    try folder.write(gqa.score([("1", "", "x"), ("2", "", "x")]), [])
    if let server { try gqa.write("\(name)/server-scores.json", server) }
    return (gqa, folder)
  }

  @Test("Rows of runs and of the paper, with the paper's averages")
  func table() throws {
    let server =
      #"{"mme": 1500, "mmbench": 60, "textvqa": 50, "mm-vet": 30, "scienceqa": 70, "pope": 80, "mmmu": 40, "vqav2": 75}"#
    let (gqa, folder) = try evaluation("my|run", server: server)
    let report = try withExtendedLifetime(gqa) { try EvaluationReport([folder]) }
    let lines = report.markdown.split(separator: "\n")
    #expect(
      lines[0]
        == "| model | MME | MMBench | TextVQA | GQA | MM-Vet | ScienceQA | POPE | MMMU | VQAv2 | average |"
    )
    // (75 + 60 + 50 + 50 + 30 + 70 + 80 + 40 + 75) / 9
    #expect(
      lines[2]
        == "| my\\|run | 1500.0 | 60.0 | 50.0 | 50.0 | 30.0 | 70.0 | 80.0 | 40.0 | 75.0 | 58.9 |")
    let averages = report.rows.filter(\.isPublished).compactMap(\.average)
    #expect(
      averages.map { String(format: "%.1f", $0) } == [
        "64.2", "61.8", "62.3", "60.1", "60.4", "58.9",
      ])
    #expect(report.csv.hasPrefix("model,source,MME,"))
    #expect(report.csv.contains("\n\"TinyLLaVA-Phi-2-SigLIP-3.1B, teacher\",paper,1466.4,"))
  }

  @Test("A model without all nine has no average")
  func partial() throws {
    let (gqa, folder) = try evaluation("run", server: nil)
    let report = try withExtendedLifetime(gqa) { try EvaluationReport([folder]) }
    #expect(report.rows[0].scores == [.gqa: 50])
    #expect(report.rows[0].average == nil)
    #expect(report.markdown.contains("| run |  |  |  | 50.0 |  |  |  |  |  |  |"))
  }

  @Test(
    "Folders of one name are one model: means, with their deviation; shapes have their own tables")
  func several() throws {
    let folder = try TemporaryFolder()
    func write(_ path: String, _ text: String) throws { try folder.write(path, Data(text.utf8)) }
    for (seed, gqa) in [(1, 50.0), (2, 53.0)] {
      try write("\(seed)/run/server-scores.json", "{\"gqa\": \(gqa)}")
      let abilities =
        #"{"9 turns": {"right": \#(seed), "questions": 4}, "10 turns": {"right": 0, "questions": 4}}"#
      let accuracies = #"{"total": {"right": 1, "questions": 8}, "abilities": \#(abilities)}"#
      try write("\(seed)/run/needle.json", accuracies)
      try write("\(seed)/other/shapes.json", accuracies)
    }
    let folders = ["1/run", "2/run", "2/other"].map { EvaluationFolder(folder[$0]) }
    let report = try EvaluationReport(folders)
    #expect(report.rows.filter { !$0.isPublished }.map(\.name) == ["run"])
    #expect(report.rows[0].scores == [.gqa: 51.5])
    // The deviation of 50 and 53 is 3 / √2, that of 25 and 50 is 25 / √2.
    #expect(report.markdown.contains("| run |  |  |  | 51.5 ± 2.1 |  |"))
    #expect(report.markdown.contains("\n| model | 9 turns | 10 turns | all |\n"))
    #expect(report.markdown.contains("\n| run | 37.5 ± 17.7 | 0.0 ± 0.0 | 12.5 ± 0.0 |\n"))
    #expect(report.markdown.contains("\n| other | 50.0 | 0.0 | 12.5 |\n"))
    let lines = report.csv.split(separator: "\n")
    #expect(lines[0].hasSuffix(",average,9 turns,10 turns,all,9 turns,10 turns,all"))
    #expect(lines[1].hasPrefix("run,run,,,,51.5,") && lines[1].hasSuffix(",,,37.5,0.0,12.5"))
    #expect(lines[2].hasPrefix("other,run,,,,,") && lines[2].hasSuffix(",50.0,0.0,12.5,,,"))
  }

  @Test("The page stands alone, and names cannot break it")
  func page() throws {
    let (gqa, folder) = try evaluation("<script>alert(1)<", server: nil)
    try EvaluationReport([folder]).write(to: gqa.folder["report"])
    let page = try String(contentsOf: gqa.folder["report/report.html"], encoding: .utf8)
    #expect(!page.contains("<script"))
    #expect(page.contains("&lt;script&gt;alert(1)&lt;"))
    for loaded in ["src=", "href=", "url(", "@import"] { #expect(!page.contains(loaded)) }
    let parser = XMLDocumentCheck(
      page.replacing("<!DOCTYPE html>\n", with: "").replacing(/<meta [^>]*>/, with: ""))
    #expect(parser.problem == nil)
    #expect(page.components(separatedBy: "<svg").count == 11)
  }

  @Test(
    "Folders and files that have no scores are named",
    arguments: [(nil, "no score"), ("{\"pop\": 1}", "'pop'"), ("[]", "server-scores.json")]
      as [(String?, String)])
  func unusable(_ server: String?, _ words: String) throws {
    let (gqa, folder) = try evaluation("run", server: server)
    if server == nil { try FileManager.default.removeItem(at: gqa.folder["run/gqa.score.json"]) }
    #expect { _ = try EvaluationReport([folder]) } throws: { "\($0)".contains(words) }
  }
}

/// Whether every element of a text is closed where it should be.
private struct XMLDocumentCheck {
  var problem: String?

  init(_ text: String) {
    var open: [Substring] = []
    for tag in text.matches(of: /<(\/?)([a-z0-9]+)[^>]*?(\/?)>/) {
      if !tag.3.isEmpty { continue }
      if tag.1.isEmpty {
        open.append(tag.2)
      } else if open.popLast() != tag.2 {
        problem = problem ?? "</\(tag.2)>"
      }
    }
    if problem == nil, let left = open.last { problem = "<\(left)>" }
  }
}
