import MaTVLMMamba
import MaTVLMTensor

/// How the mixers of a student that is not read from a folder are made.
public enum MixerStart: Sendable, Hashable {
  case seeded(AttentionSeeding)
  /// Fitted to what attention makes of training samples.
  case calibrated
}

/// What of a student trains, and why.
public struct ParameterPlan: Sendable, Hashable, Encodable {
  /// Parameters of one kind.
  public struct Group: Sendable, Hashable, Encodable {
    public let name: String
    public let parameters: Int
    public let trainable: Int
  }

  /// One parameter.
  public struct Entry: Sendable, Hashable, Encodable {
    public let name: String
    public let shape: [Int]
    public let trains: Bool
    public let reason: String
  }

  /// Numbers, those that nothing computes with counted in.
  public let teacher: Int
  public let student: Int
  /// Those of the student that change.
  public let trainable: Int
  public let groups: [Group]
  public let entries: [Entry]

  /// - Parameter seeding: how mixers were made; nil: the student was read from a folder.
  package init(of trainer: Trainer, _ seeding: MixerStart?) {
    let task = trainer.task
    let teacherModel = task.models.first?.model ?? task.student
    let reasons = Reasons(task.student, teacher: teacherModel, task.trained, seeding)
    teacher = ModelSummary(of: teacherModel).parameters
    student = ModelSummary(of: task.student).parameters
    trainable = task.trained.reduce(0) { $0 + $1.shape.count }
    groups = task.student.parameterGroups.map { name, parameters in
      Group(
        name: name, parameters: parameters.reduce(0) { $0 + $1.shape.count },
        trainable: parameters.filter(reasons.trains).reduce(0) { $0 + $1.shape.count })
    }
    entries = task.student.parameterGroups.flatMap { name, parameters in
      parameters.map { parameter in
        Entry(
          name: parameter.name, shape: parameter.shape.dimensions,
          trains: reasons.trains(parameter), reason: reasons.reason(parameter, in: name))
      }
    }
  }
}

extension VisionLanguageModel {
  /// All parameters by kind, in the order of the model.
  fileprivate var parameterGroups: [(name: String, parameters: [Parameter])] {
    var (attention, mamba, rest): ([Parameter], [Parameter], [Parameter]) = ([], [], [])
    for block in decoder.blocks {
      switch block.mixer {
      case .attention(let layer): attention += layer.parameters
      case .mamba(let layer): mamba += layer.parameters
      }
      rest += block.norm.parameters + block.mlp.parameters
    }
    return [
      ("vision tower", tower.parameters), ("connector", connector.parameters),
      ("embedding and head", decoder.embedding.parameters + decoder.head.parameters),
      ("attention layers", attention), ("Mamba-2 layers", mamba),
      ("MLPs and norms", rest + decoder.finalNorm.parameters),
    ]
  }
}

/// Why a parameter trains or does not, in words.
private struct Reasons {
  private let trained: Set<ObjectIdentifier>
  private let shared: Set<ObjectIdentifier>
  private let seeding: MixerStart?

  init(
    _ student: VisionLanguageModel, teacher: VisionLanguageModel, _ trained: [Parameter],
    _ seeding: MixerStart?
  ) {
    self.trained = Set(trained.map(ObjectIdentifier.init))
    shared = Set(teacher.parameters.map(ObjectIdentifier.init))
    self.seeding = seeding
  }

  func trains(_ parameter: Parameter) -> Bool { trained.contains(ObjectIdentifier(parameter)) }

  func reason(_ parameter: Parameter, in group: String) -> String {
    let isShared = shared.contains(ObjectIdentifier(parameter))
    switch (trains(parameter), group) {
    case (true, "Mamba-2 layers"): return "trains: Mamba-2 layer, \(start(of: parameter))"
    case (true, "connector"):
      return "trains: connector, "
        + (seeding == nil ? "from the student" : "copied from the teacher")
    case (true, _): return "trains"
    case (false, "connector") where !isShared:
      return "frozen: no loss of this run reaches the connector"
    case (false, _):
      return isShared ? "frozen: shared with the teacher" : "frozen: the student's own"
    }
  }

  /// Where a mixer's first values come from.
  private func start(of parameter: Parameter) -> String {
    guard let start = seeding else { return "from the student" }
    guard case .seeded(let seeding) = start else { return "fitted to the attention it replaces" }
    func named(_ end: String) -> Bool { parameter.name.hasSuffix(end) }
    if named("in_proj.weight") || named("in_proj.bias") {
      let step = seeding == .paper ? "z and the step drawn" : "z drawn"
      return "seeded: x from v_proj, B from k_proj, C from q_proj, \(step)"
    }
    if named("out_proj.weight") || named("out_proj.bias") { return "seeded from dense" }
    if named(".D") || named("norm.weight") { return "ones" }
    if seeding == .paper || named("dt_bias") { return "drawn" }
    return "seeded: \(seeding.rawValue)"
  }
}
