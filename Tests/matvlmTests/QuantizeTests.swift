import Foundation
import Testing

@Suite("matvlm quantize, and weights that are rounded when they are loaded")
struct QuantizeTests {
  @Test(
    "The folder is smaller, says what it is, and answers as weights rounded at load",
    arguments: [8, 4])
  func folder(_ bits: Int) throws {
    let workplace = try Workplace()
    let command = try workplace.run(
      "quantize", "--model", "teacher", "--bits", "\(bits)", "--output", "small"
    ).requireSuccess()
    #expect(command.output == "small\n")
    let info = try workplace.run("info", "small", "--json").requireSuccess().object()
    let before = try workplace.run("info", "teacher", "--json").requireSuccess().object()
    #expect(info["parameters"] as? Int == before["parameters"] as? Int)
    #expect(info["stored_as"] as? String == "int\(bits) in groups of \(bits == 8 ? 64 : 32)")
    #expect(try #require(info["bytes"] as? Int) < (try #require(before["bytes"] as? Int)) / 2)
    let question = ["--prompt", "hi", "--max-tokens", "8", "--json"]
    let saved = try workplace.run(["generate", "--model", "small"] + question)
      .requireSuccess().object()
    let rounded = try workplace.run(
      ["generate", "--model", "teacher", "--quantize", "int\(bits)"] + question
    ).requireSuccess().object()
    #expect(saved["ids"] as? [Int] == rounded["ids"] as? [Int])
  }

  @Test("A folder that is quantised is not quantised otherwise; a group can be chosen")
  func twice() throws {
    let workplace = try Workplace()
    _ = try workplace.run(
      "quantize", "--model", "teacher", "--bits", "8", "--group", "32", "--output", "small"
    ).requireSuccess()
    let before = try workplace.content
    try workplace.run("quantize", "--model", "small", "--bits", "4", "--output", "smaller")
      .expectFailure(EX_DATAERR, ["int8 in groups of 32", "int4"])
    #expect(try workplace.content == before)
  }

  @Test(
    "evaluate reports the distance from the model before rounding",
    .enabled(if: Command.hasEmbeddedTeacher, "the embedded teacher is not in this build"))
  func evaluate() throws {
    let workplace = try Workplace()
    func divergence(_ options: String...) throws -> Double {
      let object = try workplace.run(["evaluate", "--pictures", "4", "--json"] + options)
        .requireSuccess().object()
      let divergence = try #require(object["divergence"] as? [String: Any])
      #expect((divergence["tokens"] as? Int ?? 0) > 24)
      return try #require(divergence["kl"] as? Double)
    }
    let (int8, int4) = (try divergence("--quantize", "int8"), try divergence("--quantize", "int4"))
    #expect(int8 > 0 && int8 < int4)
    #expect(int4 < 0.01)
    try workplace.run("evaluate", "--pictures", "1", "--reference", "teacher")
      .expectFailure(EX_DATAERR, ["vocab_size"])
  }

  @Test("bench decode and prefill measure weights of every kind")
  func bench() throws {
    let workplace = try Workplace()
    let model = ["--preset", "shapes", "--quantize", "int4", "--ssm-ratio", "0.25"]
    let decode = try workplace.run(
      ["bench", "decode", "--contexts", "0,40", "--tokens", "3"] + model
    ).requireSuccess().object()
    let results = try #require(decode["decoding"] as? [[String: Any]])
    #expect(results.map { $0["context"] as? Int } == [0, 40])
    #expect(results.allSatisfy { ($0["fraction_of_limit"] as? Double ?? 0) > 0 })
    let states = results.compactMap { $0["state_bytes"] as? Int }
    #expect(states.count == 2 && states[0] < states[1])
    #expect(results.allSatisfy { $0["device_bytes"] == nil })  // it is the processor's memory
    let prefill = try workplace.run(
      "bench", "prefill", "--model", "teacher", "--prompt", "20", "--repeats", "1"
    ).requireSuccess().object()
    #expect((prefill["prefill"] as? [String: Any])?["tokens"] as? Int == 20)
  }
}
