import Foundation
import MaTVLMTestSupport
import Testing

@Suite("The report's page in a browser")
struct ReportPageTests {
  /// Debian's, or what other systems call it.
  private static let browser = ["chromium", "chromium-browser", "google-chrome"]
    .map { "/usr/bin/\($0)" }.first(where: FileManager.default.isExecutableFile)

  /// A page's elements after loading, and what the browser's console said.
  private static func open(_ page: URL, in folder: TemporaryFolder, width: Int = 1000) throws -> (
    elements: String, console: [Substring]
  ) {
    let browser = try #require(browser, "no Chromium; 'Scripts/requirements tests' installs it")
    let process = Process()
    process.executableURL = URL(filePath: browser)
    process.arguments = [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
      "--user-data-dir=\(folder["browser"].path)", "--window-size=\(width),900",
      "--enable-logging=stderr", "--dump-dom", page.absoluteString,
    ]
    let (out, err) = (try folder.write("out", Data()), try folder.write("err", Data()))
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    try process.run()
    process.waitUntilExit()
    let errors = try String(contentsOf: err, encoding: .utf8)
    try #require(process.terminationStatus == 0, "\(errors)")
    return (
      try String(contentsOf: out, encoding: .utf8),
      errors.split(separator: "\n").filter { $0.contains("CONSOLE") }
    )
  }

  /// The page of a run that has everything.
  private static func page(_ folder: TemporaryFolder) throws -> URL {
    let server =
      #"{"mme": 1500, "mmbench": 60, "textvqa": 50, "gqa": 55, "mm-vet": 30, "scienceqa": 70, "#
      + #""pope": 80, "mmmu": 40, "vqav2": 75}"#
    let shapes =
      #"{"total": {"right": 3, "questions": 4}, "abilities": {"colour": {"right": 1, "questions": 2}}}"#
    for seed in 1...2 {
      try folder.write("\(seed)/run/server-scores.json", Data(server.utf8))
      try folder.write("\(seed)/run/shapes.json", Data(shapes.utf8))
    }
    _ = try Command("report", "1/run", "2/run", "--output", "report", in: folder).requireSuccess()
    return folder["report/report.html"]
  }

  @Test("No script error and nothing that cannot be loaded; tables and plots are there")
  func opens() throws {
    let folder = try TemporaryFolder()
    let (elements, console) = try Self.open(Self.page(folder), in: folder)
    #expect(console == [])
    #expect(elements.components(separatedBy: "<table>").count == 3)
    // Nine benchmarks and their average; an ability and all.
    #expect(elements.components(separatedBy: "<svg").count == 13)
    #expect(elements.contains("<td>1500.0 ± 0.0</td>") && elements.contains("<td>50.0 ± 0.0</td>"))
  }

  @Test("Tables fit a window of 1000 points, and every plot has bars with a size")
  func fits() throws {
    let folder = try TemporaryFolder()
    let script = """
      <script>
      const wide = [...document.querySelectorAll('.wide')]
      const bars = [...document.querySelectorAll('svg rect')].map(bar => bar.getBoundingClientRect())
      document.body.dataset.overflowing = wide.filter(e => e.scrollWidth > e.clientWidth).length
      document.body.dataset.bars = bars.filter(bar => bar.width > 1 && bar.height > 1).length
      </script></body>
      """
    let page = try String(contentsOf: Self.page(folder), encoding: .utf8)
    let measured = try folder.write(
      "measured.html", Data(page.replacing("</body>", with: script).utf8))
    let (elements, console) = try Self.open(measured, in: folder)
    #expect(console == [])
    // Bars of seven models in each of ten plots, and of one model in two.
    let body = elements.firstMatch(of: /<body[^>]*>/).map { String($0.0) }
    #expect(body == #"<body data-overflowing="0" data-bars="72">"#)
  }

  @Test("The browser reports a script's error, so that the tests above would fail")
  func control() throws {
    let folder = try TemporaryFolder()
    let page = try folder.write("page.html", Data("<script>missing()</script>".utf8))
    let (_, console) = try Self.open(page, in: folder)
    #expect(console.contains { $0.contains("missing is not defined") })
  }
}
