import ArgumentParser

/// `matvlm evaluate`
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract:
      "Accuracy on held-out pictures of shapes, or answers to one of the paper's benchmarks.",
    discussion: "'matvlm evaluate ask --help' explains the options; 'ask' itself can be left out.",
    subcommands: [EvaluateAsk.self, EvaluateMerge.self], defaultSubcommand: EvaluateAsk.self)
}
