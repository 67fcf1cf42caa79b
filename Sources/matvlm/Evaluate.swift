import ArgumentParser

/// `matvlm evaluate`
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Accuracy on held-out pictures of shapes, or answers to one of the paper's benchmarks.",
    usage: "matvlm evaluate merge <options>",
    // The options are those of the command that is run when none is named.
    discussion: """
      With --benchmark, asks what --data holds, and writes each answer into --output as it comes. A \
      run that was stopped is gone on from by the same command.

      With --quantize or --reference, but without --benchmark, it also reads the known answers about shapes with a second model, \
      and reports how far the distributions over the next token are from that model's: the mean \
      Kullback-Leibler divergence per token, in nats. With --quantize alone the second model is the \
      same one before rounding.

      \(EvaluateAsk.helpMessage(columns: 80))
      """,
    subcommands: [EvaluateAsk.self, EvaluateMerge.self], defaultSubcommand: EvaluateAsk.self)
}
