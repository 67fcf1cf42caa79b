import ArgumentParser
import Foundation
import MaTVLMCore

/// `matvlm`: parses, calls the library, prints. Results go to standard output, everything for people
/// to standard error.
@main
struct Matvlm: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "matvlm",
    abstract: "Distils vision-language models into Mamba-2 hybrids, and runs them.",
    discussion: """
      Without options, 'matvlm distill' distils a small model that comes with the program.

      Exit codes: 0 done, 64 wrong command line, 65 unusable input (model, data, picture), \
      73 output cannot be written, 130 stopped by Ctrl-C, 1 anything else.
      """,
    version: "0.1.0",
    subcommands: [
      Distill.self, Generate.self, Chat.self, Convert.self, Quantize.self, Evaluate.self,
      ScoreAnswers.self, Report.self, Info.self, Pretrain.self, Plot.self, Shapes.self, Bench.self,
    ])

  static func main() {
    // Then writing beyond a limit on file sizes is an error like that of a full disk.
    signal(SIGXFSZ, SIG_IGN)
    do {
      let arguments = try ExpandedArguments(Array(CommandLine.arguments.dropFirst()))
      var command = try parseAsRoot(arguments.arguments)
      try command.run()
      Ranks.leave()
    } catch {
      FailureReport(error).exit()
    }
  }
}
