import ArgumentParser
import MaTVLMCore

/// `matvlm bench decode`
struct BenchDecode: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Tokens per second of one answer, after contexts of some lengths.",
    discussion: """
      A table, one line for each model and context. Weights and state are read at the given part of \
      what passes over memory between the tokens reach. A context whose state has no room in memory is not measured.
      """)

  @OptionGroup var model: BenchModel

  @Option(parsing: .unconditional, help: "Rows that came before, separated by commas.")
  var contexts = NumberList([0])

  @Option(parsing: .unconditional, help: "Tokens that are timed; the median counts.")
  var tokens = 24

  func validate() throws {
    if !(1...100_000).contains(tokens) {
      throw ValidationError("--tokens must be between 1 and 100000, not \(tokens).")
    }
    if contexts.integers(in: 0...1_000_000_000) == nil {
      throw ValidationError("--contexts must be numbers from 0 to 1000000000, not \(contexts).")
    }
  }

  func run() throws {
    try model.run(.token) { benchmark in
      (contexts.integers(in: 0...1_000_000_000) ?? []).map { context in
        benchmark.hasRoom(rows: context + tokens)
          ? benchmark.decode(context: context, tokens: tokens)
          : benchmark.unmeasured(rows: context)
      }
    }
  }
}

/// `matvlm bench prefill`
struct BenchPrefill: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prefill",
    abstract: "The time to read a prompt of text, to the first token of an answer.",
    discussion: """
      A table, one line for each model and length. Rows are multiplied at the given part of how fast \
      matrices of this type can be.
      """)

  @OptionGroup var model: BenchModel

  @Option(parsing: .unconditional, help: "Tokens of the prompt; several lengths with commas.")
  var prompt = NumberList([256])

  @Option(parsing: .unconditional, help: "Prompts that are timed; the median counts.")
  var repeats = 3

  func validate() throws {
    if prompt.integers(in: 1...1_000_000_000) == nil {
      throw ValidationError("--prompt must be numbers from 1 to 1000000000, not \(prompt).")
    }
    try requireRepeats(repeats)
  }

  func run() throws {
    try model.run(.prompt) { benchmark in
      (prompt.integers(in: 1...1_000_000_000) ?? []).map { length in
        benchmark.hasRoom(rows: length)
          ? benchmark.prefill(tokens: length, repeats: repeats)
          : benchmark.unmeasured(rows: length)
      }
    }
  }
}

/// `matvlm bench image`
struct BenchImage: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "image",
    abstract: "The time to the first token of an answer about one picture.",
    discussion: """
      The vision tower, the connector, and the rows of picture and text through the decoder. They are \
      multiplied at the given part of how fast matrices of this type can be.
      """)

  @OptionGroup var model: BenchModel

  @Option(parsing: .unconditional, help: "Tokens of the question after the picture.")
  var prompt = 41

  @Option(parsing: .unconditional, help: "Answers that are timed; the median counts.")
  var repeats = 3

  func validate() throws {
    if !(1...100_000).contains(prompt) {
      throw ValidationError("--prompt must be between 1 and 100000, not \(prompt).")
    }
    try requireRepeats(repeats)
  }

  func run() throws {
    try model.run(.prompt) { [$0.image(tokens: prompt, repeats: repeats)] }
  }
}

private func requireRepeats(_ repeats: Int) throws {
  if !(1...100_000).contains(repeats) {
    throw ValidationError("--repeats must be between 1 and 100000, not \(repeats).")
  }
}
