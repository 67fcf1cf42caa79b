import Foundation
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

@Suite("matvlm bench, on small models")
struct BenchTests {
  private static let small = ["--preset", "shapes", "--quantize", "int4"]

  private static func results(_ arguments: [String]) throws -> [[String: Any]] {
    let object = try Workplace().run(["bench"] + arguments + ["--json"]).requireSuccess().object()
    let results = try #require(object["results"] as? [[String: Any]])
    for speed in results.compactMap({ $0["speed"] as? [String: Any] }) {
      #expect(speed["limit"] as? Double ?? 0 > 0)
    }
    return results
  }

  @Test("decode: teacher beside students, each context, in one table and one picture")
  func decode() throws {
    let workplace = try Workplace()
    let arguments =
      [
        "bench", "decode", "--contexts", "0,40,80", "--tokens", "3", "--ssm-ratio",
        "0,0.125,0.25,0.5", "--plot", "speed.svg",
      ] + Self.small
    let object = try workplace.run(arguments + ["--json"]).requireSuccess().object()
    let results = try #require(object["results"] as? [[String: Any]])
    #expect(
      results.map { $0["rows"] as? Int } == Array(repeating: [0, 40, 80], count: 4).flatMap { $0 })
    #expect(
      results.map { $0["ssm_ratio"] as? Double }
        == [0, 0.125, 0.25, 0.5].flatMap { Array(repeating: $0, count: 3) })
    for result in results {
      let speed = try #require(result["speed"] as? [String: Any])
      for key in ["seconds", "tokens_per_second", "fraction_of_limit", "limit", "peak_bytes"] {
        #expect((speed[key] as? Double ?? 0) > 0, "\(key)")
      }
    }
    // Only layers with attention keep anything of a row.
    let growth = (0..<4).map { model in
      (results[3 * model + 2]["state_bytes"] as? Int ?? 0)
        - (results[3 * model + 1]["state_bytes"] as? Int ?? 0)
    }
    #expect(growth[0] > 0 && growth[2] * 4 == growth[0] * 3 && growth[3] * 2 == growth[0])
    let svg = try workplace.text("speed.svg")
    #expect(XMLParser(data: Data(svg.utf8)).parse(), "\(svg)")
    #expect(svg.split(separator: "\n").count { $0.contains("<polyline") } == 2 * 4)
    for name in ["teacher", "12.5 % student", "25 % student", "50 % student"] {
      #expect(svg.contains(">\(name)</text>"))
    }
    let table = try workplace.run(arguments).requireSuccess().output
    #expect(table.split(separator: "\n").count == 1 + 12)
    #expect(table.contains("memory limit") && table.contains("25 % student"))
  }

  @Test("distill: an update's time, and its operations beside those of products alone")
  func distill() throws {
    let (width, layers, vocabulary, length) = (128, 4, 1024, 64)
    let object = try Workplace().run(
      "bench", "distill", "--hidden", "\(width)", "--layers", "\(layers)", "--heads", "4",
      "--vocab", "\(vocabulary)", "--batch", "2", "--length", "\(length)", "--repeats", "1"
    ).requireSuccess().object()
    func number(_ key: String) throws -> Double { try #require(object[key] as? Double) }
    let (operations, seconds, limit) = try (
      number("operations"), number("seconds"), number("limit")
    )
    #expect(try abs(number("fraction_of_limit") * limit * seconds / operations - 1) < 1e-6)
    #expect(try abs(number("tokens_per_second") * seconds - Double(2 * length)) < 1e-3)
    // Products by hand, in squares of the width: a block has 12, and one layer's attention of 4
    // becomes a mixer of 5. Gradients of activations end at the first layer, which trains.
    let (heads, block, mixer) = (vocabulary / width, 12, 5)
    let forward = (layers * block + heads) + ((layers - 1) * block + (8 + mixer) + heads)
    let backward = heads + (layers - 1) * block + 1 + mixer
    let products = 2.0 * Double(2 * length * width * width * (forward + backward))
    // The rest is attention, scans and what is done to each element.
    #expect((1...1.3).contains(operations / products), "\(operations) of \(products)")
  }

  @Test("prefill: lengths of prompts, of a folder's model and of its hybrid")
  func prefill() throws {
    let results = try Self.results([
      "prefill", "--model", "teacher", "--prompt", "20,40", "--repeats", "1", "--ssm-ratio",
      "0,0.5",
      "--cache-type", "bfloat16",
    ])
    #expect(results.map { $0["rows"] as? Int } == [20, 40, 20, 40])
    #expect(
      results.allSatisfy { ($0["speed"] as? [String: Double])?["fraction_of_limit"] ?? 0 > 0 })
  }

  @Test("image: rows of a picture come before those of the text")
  func image() throws {
    let text = try Self.results([
      "prefill", "--model", "teacher", "--prompt", "7", "--repeats", "1",
    ])
    let picture = try Self.results([
      "image", "--model", "teacher", "--prompt", "7", "--repeats", "1",
    ])
    let quantized = try Self.results(["image", "--prompt", "7", "--repeats", "1"] + Self.small)
    let rows = try #require(picture[0]["rows"] as? Int)
    #expect(text[0]["rows"] as? Int == 7 && rows > 7)
    #expect((quantized[0]["rows"] as? Int ?? 0) > 7)
    let bytes = try [text, picture].map { try #require($0[0]["state_bytes"] as? Int) }
    #expect(bytes[1] * 7 == bytes[0] * rows)
  }

  @Test("A state that has no room is said to have none, and its size all the same")
  func noRoom() throws {
    let results = try Self.results([
      "decode", "--model", "teacher", "--contexts", "0,900000000", "--tokens", "1",
    ])
    #expect(results[0]["speed"] != nil && results[1]["speed"] == nil)
    #expect((results[1]["state_bytes"] as? Int ?? 0) > 1 << 36)
  }

  @Test("A hybrid has its own layers, and a picture file must be writable")
  func refused() throws {
    let workplace = try Workplace()
    _ = try workplace.run("convert", "--teacher", "teacher", "--output", "student").requireSuccess()
    let bench = ["bench", "prefill", "--prompt", "4", "--repeats", "1"]
    try workplace.run(bench + ["--model", "student", "--ssm-ratio", "0.5"])
      .expectFailure(Command.wrongCommandLine, ["--ssm-ratio"])
    try workplace.run(bench + ["--model", "teacher", "--plot", "nowhere/speed.svg"])
      .expectFailure(Command.unwritableOutput, ["nowhere"])
  }
}
