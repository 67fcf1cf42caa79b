import MaTVLMDistillation
import MaTVLMMamba
import MaTVLMTensor

extension DistillationObjective {
  /// What gradients of these losses reach, in the student's order. The vision tower is always frozen.
  func reached(in student: VisionLanguageModel) -> [Parameter] {
    guard isLayerLocal else { return student.decoder.parameters + student.connector.parameters }
    return student.decoder.blocks.flatMap { block -> [Parameter] in
      guard case .mamba(let mixer) = block.mixer else { return [] }
      let unreached: [Parameter] =
        switch layerComparison {
        case .output: []
        case .heads: mixer.outputProjection.parameters
        case .matrix: mixer.outputProjection.parameters + [mixer.normWeight]
        }
      return mixer.parameters.filter { parameter in !unreached.contains { $0 === parameter } }
    }
  }
}

extension TrainingStage {
  /// What trains, in the student's order.
  /// - Throws: ``TrainingStageError`` for what names nothing, or nothing that the losses reach.
  func trained(in student: VisionLanguageModel) throws -> [Parameter] {
    let reached = objective.reached(in: student)
    guard !trains.isEmpty else {
      return student.distilledParameters.filter { own in reached.contains { $0 === own } }
    }
    var chosen: Set<String> = []
    for selector in trains {
      let names = try names(selector, in: student)
      let trained = reached.map(\.name).filter(names.contains)
      guard !trained.isEmpty else {
        throw TrainingStageError(
          stage: name, problem: "its losses reach nothing of \(selector), which is to train")
      }
      chosen.formUnion(trained)
    }
    return student.inTrainingOrder(reached.filter { chosen.contains($0.name) })
  }

  /// Rows that train of matrices that do not train as a whole, by name.
  func trainedRows(in student: VisionLanguageModel) throws -> [String: [Range<Int>]] {
    guard trains.contains("new") else { return [:] }
    let whole = try trains.filter { $0 != "new" }.reduce(into: Set<String>()) { names, selector in
      names.formUnion(try self.names(selector, in: student))
    }
    return student.newRows.filter { !whole.contains($0.key) }
  }

  private func names(_ selector: String, in student: VisionLanguageModel) throws -> Set<String> {
    let (decoder, connector) = (student.decoder.parameters, student.connector.parameters)
    let group: [Parameter]? =
      switch selector {
      case "new": student.newParameters
      case "mixers": student.mixerParameters
      case "connector": connector
      case "language-model": decoder
      case "all": decoder + connector
      default: nil
      }
    if let group { return Set(group.map(\.name)) }
    let known = (decoder + connector).map(\.name)
    let names = known.filter { matches($0, selector) }
    guard !names.isEmpty else {
      let nearest = nearest(to: selector, known).map { "; did you mean \($0)?" } ?? ""
      throw TrainingStageError(
        stage: name, problem: "\(selector) is no group and no name of what can train" + nearest)
    }
    return Set(names)
  }

  /// Whether a name is what a pattern says, `*` standing for any letters.
  private func matches(_ name: String, _ pattern: String) -> Bool {
    let parts = pattern.split(separator: "*", omittingEmptySubsequences: false)
    guard parts.count > 1 else { return name == pattern }
    guard name.hasPrefix(parts[0]) else { return false }
    var rest = name.dropFirst(parts[0].count)
    for part in parts.dropFirst().dropLast() where !part.isEmpty {
      guard let found = rest.firstRange(of: part) else { return false }
      rest = rest[found.upperBound...]
    }
    return rest.hasSuffix(parts[parts.count - 1])
  }

  /// A group, a name, or the end of a name with `*` before it.
  private func nearest(to selector: String, _ names: [String]) -> String? {
    let ends = names.flatMap { name in
      name.indices.filter { name[$0] == "." }.map { "*" + name[$0...] }
    }
    let candidates = Set(Self.trainedGroups + names + ends).map { ($0, editDistance(selector, $0)) }
    // The first in the alphabet of those that are alike.
    return candidates.min { ($0.1, $0.0) < ($1.1, $1.0) }
      .flatMap { $0.1 <= max(2, selector.count / 3) ? $0.0 : nil }
  }
}

extension VisionLanguageModel {
  private var mixers: [Mamba2Mixer] {
    decoder.blocks.compactMap { if case .mamba(let mixer) = $0.mixer { mixer } else { nil } }
  }

  /// What seeding did not copy from attention, whole or in part.
  fileprivate var newParameters: [Parameter] {
    mixers.flatMap { $0.newParameters + $0.inputProjection.parameters }
  }

  /// By the name of a matrix or bias of which seeding copied the other rows.
  fileprivate var newRows: [String: [Range<Int>]] {
    let parts = mixers.flatMap { mixer in
      mixer.inputProjection.parameters.map { ($0.name, mixer.newRows) }
    }
    return Dictionary(uniqueKeysWithValues: parts)
  }

  /// Mixers and connector come first, as in a run without stages: the order in which gradients are
  /// added up decides the last bits of their norm.
  fileprivate func inTrainingOrder(_ parameters: [Parameter]) -> [Parameter] {
    let first = distilledParameters.filter { own in parameters.contains { $0 === own } }
    return first + parameters.filter { parameter in !first.contains { $0 === parameter } }
  }
}
