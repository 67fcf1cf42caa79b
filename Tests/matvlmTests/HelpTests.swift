import MaTVLMTestSupport
import Testing

@Suite("Help, version and wrong command lines")
struct HelpTests {
  static let verbs = [
    "distill", "plan", "generate", "chat", "convert", "quantize", "evaluate", "score", "report",
    "info",
    "pretrain", "plot", "shapes", "bench",
  ]

  /// Every option that the README and scripts may use; the words are the help's own.
  static let helps: [(verb: [String], words: [String])] = [
    (
      ["distill"],
      [
        "--teacher", "--student", "--data", "--image-folder", "--held-out", "--output",
        "--overwrite", "--ssm-layers", "--ssm-ratio", "--placement", "--seeding", "--steps",
        "--calibration-samples", "--calibration-passes",
        "--epochs", "--batch-size", "--gradient-accumulation", "--learning-rate",
        "--warmup-steps", "--decay-steps", "--weight-decay", "--clip", "--layer-weight",
        "--kl-weight", "--ce-weight", "--divergence", "--temperature", "--reduction",
        "--no-shuffle", "--seed", "--threads", "--broken-samples", "--evaluation-interval",
        "--config", "--set", "--maximum-length", "--outliers", "--outlier-factor", "--tensorboard",
        "--recompute", "--resume", "--no-resume", "--checkpoint-interval", "--checkpoints",
        "--keep-checkpoints", "--device", "--precision", "--cuda-path", "--memory",
        "--vision-cache", "--vision-cache-budget",
      ]
    ),
    (
      ["plan"],
      ["--explain", "--json", "--teacher", "--memory", "--ssm-ratio", "--config", "--device"]
    ),
    (
      ["generate"],
      [
        "--model", "--image", "--prompt", "--max-tokens", "--temperature", "--top-k", "--top-p",
        "--min-p", "--repetition-penalty", "--seed", "--stop", "--json", "--raw", "--threads",
        "--cache-type", "--quantize", "--group", "--batch", "--batch-size", "--image-folder",
        "--broken-samples",
      ]
    ),
    (
      ["chat"],
      [
        "--model", "--load", "--keep", "--cache-type", "--max-tokens", "--temperature", "--stop",
        "--device",
        "/image FILE", "/reset", "/save FILE", "/load FILE", "/stats", "/quit", "Ctrl-C",
      ]
    ),
    (
      ["convert"],
      [
        "--teacher", "--ssm-layers", "--seeding", "--seed", "--output", "--overwrite",
        "--calibration", "--image-folder", "--calibration-samples", "--calibration-passes",
      ]
    ),
    (["quantize"], ["--model", "--bits", "--group", "--output", "--overwrite"]),
    (
      ["evaluate"],
      [
        "--model", "--pictures", "--seed", "--batch-size", "--json", "--benchmark", "--data",
        "--questions", "--images", "--annotations", "--prompt", "--max-tokens", "--published-limit",
        "--shard", "--output", "merge", "--reference", "--quantize", "--needle",
      ]
    ),
    (["evaluate", "merge"], ["--benchmark", "--data", "--output", "--json"]),
    (["score"], ["<answers>", "--benchmark", "--data", "--seed", "--output", "--json"]),
    (["report"], ["<runs>", "--rule", "--output", "server-scores.json"]),
    (["info"], ["<model>", "--json"]),
    (
      ["pretrain"], ["--pictures", "--turns", "--steps", "--epochs", "--learning-rate", "--output"]
    ),
    (["plot"], ["<runs>", "--output"]),
    (["shapes"], ["--output", "--count", "--seed", "--turns", "--benchmarks"]),
    (
      ["bench", "decode"],
      ["--preset", "--model", "--contexts", "--tokens", "--ssm-ratio", "--quantize"]
    ),
    (["bench", "prefill"], ["--preset", "--model", "--prompt", "--repeats", "--quantize"]),
    (["bench", "distill"], ["--hidden", "--layers", "--heads", "--vocab", "--batch", "--length"]),
  ]

  @Test("The help of a verb has each of its options", arguments: helps)
  func help(_ help: (verb: [String], words: [String])) throws {
    let command = try Command(help.verb + ["--help"], in: TemporaryFolder()).requireSuccess()
    #expect(help.words.filter { !command.output.contains($0) } == [])
  }

  @Test("The program's help names every verb and every exit code")
  func overview() throws {
    let command = try Command("--help", in: TemporaryFolder()).requireSuccess()
    let words = Self.verbs + ["Exit codes", "64", "65", "73"]
    #expect(words.filter { !command.output.contains($0) } == [])
  }

  @Test("The version stands alone on its line")
  func version() throws {
    let command = try Command("--version", in: TemporaryFolder()).requireSuccess()
    #expect(command.output.wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
  }

  @Test(
    "Unknown verbs, unknown options and missing ones are wrong command lines",
    arguments: [
      (["dance"], "dance"), (["distill", "--dance"], "--dance"), (["generate"], "--model"),
      (["info"], "<model>"), (["shapes"], "--output"),
    ])
  func unknown(_ arguments: [String], word: String) throws {
    try Command(arguments, in: TemporaryFolder())
      .expectFailure(Command.wrongCommandLine, [word])
  }
}
