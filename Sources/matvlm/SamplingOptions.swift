import ArgumentParser
import MaTVLMCore

/// How tokens are chosen.
struct SamplingOptions: ParsableArguments {
  @Option(parsing: .unconditional, help: "Spread of the choice; 0 takes the most likely token.")
  var temperature: Float = 0

  @Option(parsing: .unconditional, help: "Choose among this many tokens; 0: all.")
  var topK = 0

  @Option(
    parsing: .unconditional,
    help: "Choose among the most likely tokens that reach this probability together.")
  var topP: Float = 1

  @Option(
    parsing: .unconditional,
    help: "Choose among tokens at least this likely, measured by the most likely one.")
  var minP: Float = 0

  @Option(parsing: .unconditional, help: "Above 1, tokens that were seen become less likely.")
  var repetitionPenalty: Float = 1

  @Option(parsing: .unconditional, help: "The same seed gives the same answer.")
  var seed: UInt64 = 0

  func validate() throws { _ = try sampling() }

  func sampling() throws -> Sampling {
    var sampling = Sampling()
    sampling.temperature = temperature
    sampling.topK = topK
    sampling.topP = topP
    sampling.minP = minP
    sampling.repetitionPenalty = repetitionPenalty
    sampling.seed = seed
    if let problem = sampling.problem { throw ValidationError("\(problem).") }
    return sampling
  }
}
