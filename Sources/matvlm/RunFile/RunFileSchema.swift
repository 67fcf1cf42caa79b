import MaTVLMCore

/// The options of a verb as they stand in run files: in sections, under the names of the command
/// line.
struct RunFileSchema {
  let verb: String
  /// In the order in which they are written.
  let sections: [(name: String, options: [String])]

  static let all = [distill, plan, pretrain]

  static let distill = RunFileSchema(verb: "distill", sections: distillation)

  /// A plan is made from what the run is made from.
  static let plan = RunFileSchema(verb: "plan", sections: distillation)

  private static let distillation: [(name: String, options: [String])] =
    [
      ("model", ["teacher", "student"]),
      ("data", ["data", "image-folder", "held-out"]),
      (
        "layers",
        [
          "ssm-layers", "ssm-ratio", "placement", "seeding", "calibration-samples",
          "calibration-passes",
        ]
      ),
      ("objective", objective + ["student-dropout"]),
    ] + run + [limits, (stages, [stages])]

  static let pretrain = RunFileSchema(
    verb: "pretrain", sections: [("data", ["pictures", "turns"])] + run)

  /// A list, and no section.
  static let stages = "stages"

  private static let objective = [
    "layer-weight", "layer-loss", "kl-weight", "ce-weight", "divergence", "temperature",
    "reduction",
  ]

  /// What a stage may say in place of the run.
  static let stage =
    ["name", "trains"] + objective + [
      "steps", "epochs", "batch-size", "gradient-accumulation", "learning-rate", "warmup-steps",
      "decay-steps", "weight-decay", "clip",
    ]

  private static let run: [(name: String, options: [String])] = [
    (
      "training",
      [
        "steps", "epochs", "batch-size", "gradient-accumulation", "learning-rate", "warmup-steps",
        "decay-steps", "weight-decay", "clip", "no-shuffle", "seed", "maximum-length",
        "broken-samples", "outlier-factor", "outliers", "evaluation-interval", "recompute",
        "tensorboard",
      ]
    ),
    ("checkpoints", ["resume", "checkpoint-interval", "checkpoints", "keep-checkpoints"]),
    ("output", ["output", "overwrite"]),
    ("machine", ["threads", "device", "precision", "cuda-path"]),
  ]

  private static let limits = (
    name: "limits", options: ["memory", "vision-cache", "vision-cache-budget"]
  )

  /// Options that are true or false.
  private static let flags: Set = [
    "no-shuffle", "recompute", "tensorboard", "resume", "keep-checkpoints", "overwrite",
  ]

  /// What an option takes the place of when it is given later.
  private static let alternatives = [
    "steps": ["epochs"], "epochs": ["steps"], "ssm-layers": ["ssm-ratio"],
    "ssm-ratio": ["ssm-layers"],
    "seeding": ["calibration-samples", "calibration-passes"],
  ]

  func isFlag(_ option: String) -> Bool { Self.flags.contains(option) }

  static func displaced(by option: String) -> [String] {
    [option] + (alternatives[option] ?? [])
  }

  /// `section.option` for every option.
  var keys: [String] {
    sections.flatMap { section in
      section.options.map { section.name == Self.stages ? $0 : "\(section.name).\($0)" }
    }
  }

  /// The known name that is most like an unknown one, if any is like it at all.
  func nearest(to key: String) -> String? { Self.nearest(to: key, keys) }

  static func nearest(to key: String, _ keys: [String]) -> String? {
    let candidates = keys.map { known in
      // Somebody may have the right option in the wrong section, or none.
      let last = known.split(separator: ".").last.map(String.init) ?? known
      let distance = min(
        editDistance(key, known),
        editDistance(key.split(separator: ".").last.map(String.init) ?? key, last))
      return (known, distance)
    }
    return candidates.min { $0.1 < $1.1 }.flatMap { $0.1 <= max(2, key.count / 3) ? $0.0 : nil }
  }
}
