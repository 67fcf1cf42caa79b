import MaTVLMCore

/// What `generate --json` prints.
struct GenerationReport: Encodable {
  /// Only where there are several answers.
  let id: JSONValue?
  /// −200 where the picture stands.
  let promptIds: [Int]
  let ids: [Int]
  let text: String
  let end: Generation.End
  let seconds: Double
  let tokensPerSecond: Double

  init(_ answer: Generation, id: JSONValue? = nil) {
    self.id = id
    promptIds = answer.promptIDs
    ids = answer.ids
    text = answer.text
    end = answer.end
    seconds = answer.seconds
    tokensPerSecond = answer.tokensPerSecond
  }
}
