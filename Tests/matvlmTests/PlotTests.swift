import Foundation
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite("matvlm plot")
struct PlotTests {
  private static func log(_ lines: [(step: Int, lr: Double, loss: Double)]) -> Data {
    Data(
      lines.map { #"{"loss":\#($0.loss),"lr":\#($0.lr),"step":\#($0.step)}"# + "\n" }.joined().utf8)
  }

  private func plot(_ workplace: Workplace, _ runs: String...) throws -> String {
    let command = try workplace.run(["plot"] + runs + ["--output", "curves.svg"]).requireSuccess()
    #expect(command.output == "curves.svg\n")
    let svg = try workplace.text("curves.svg")
    #expect(XMLParser(data: Data(svg.utf8)).parse(), "\(svg)")
    return svg
  }

  @Test("Points are where their numbers are; runs share the axes and have their names")
  func places() throws {
    let workplace = try Workplace()
    try workplace.folder.write(
      "a & b/log.jsonl", Self.log([(1, 0, 3), (2, 1, 2), (3, 2, 1)]))
    try workplace.folder.write("second/log.jsonl", Self.log([(1, 2, 3), (3, 0, 3)]))
    // Half a line: a run that is under way.
    try workplace.folder.write(
      "second/evaluation.jsonl", Data(#"{"accuracy":0.5,"step":2}"#.utf8 + Data("\n{\"acc".utf8)))
    let svg = try plot(workplace, "a & b", "second")
    // A panel is 480 wide, its axes from 64 to 464 and from 208 up to 24.
    #expect(svg.contains(##"stroke="#0072B2" points="64 208, 264 116, 464 24""##))
    #expect(svg.contains(##"stroke="#D55E00" points="64 24, 464 208""##))
    #expect(svg.contains(##"stroke="#0072B2" points="64 24, 264 116, 464 208""##))
    #expect(svg.contains(">a &amp; b</text>") && svg.contains(">second</text>"))
    #expect(svg.contains(">held-out accuracy<") && svg.contains("<circle"))
    #expect(!svg.contains(">kl<"))
  }

  @Test("A hundredfold fall is drawn by its logarithm; of many points the outliers stay")
  func longRun() throws {
    let workplace = try Workplace()
    let lines = (1...5000).map { ($0, 1.0, $0 == 2500 ? 1000.0 : 1.0) }
    try workplace.folder.write("run/log.jsonl", Self.log(lines))
    let svg = try plot(workplace, "run")
    #expect(svg.contains("loss, weighted, log scale"))
    let line = try #require(svg.split(separator: "\n").first { $0.contains("<polyline") })
    #expect(line.split(separator: ",").count <= 2 * 480)
    #expect(line.contains(" 24,"), "the outlier is at the top")
  }

  @Test("A real run of every kind of line")
  func realRun() throws {
    let workplace = try Workplace()
    _ = try workplace.distill(
      "--steps", "3", "--held-out", "data.json", "--evaluation-interval", "1"
    ).requireSuccess()
    let svg = try plot(workplace, "student", "student")
    #expect(svg.split(separator: "\n").count { $0.contains("<polyline") } == 2 * 10)
  }

  @Test(
    "A log that cannot be read is named, and no picture is written",
    arguments: [
      (nil, ["no such log"]), ("{\"step\":1}\nx\n", ["line 2"]), ("[1]\n", ["line 1", "step"]),
    ])
  func unreadable(_ log: String?, _ words: [String]) throws {
    let workplace = try Workplace()
    if let log { try workplace.folder.write("run/log.jsonl", Data(log.utf8)) }
    try workplace.run("plot", "run", "--output", "curves.svg")
      .expectFailure(Command.unusableInput, ["run/log.jsonl"] + words)
    #expect(try workplace.content.allSatisfy { !$0.hasSuffix("svg") })
  }
}
