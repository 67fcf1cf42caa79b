import ArgumentParser
import MaTVLMCore

/// What distillation minimises.
struct ObjectiveOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: "The weight of the distance between mixers and the attention they replace.")
  var layerWeight: Float?

  @Option(
    help: """
      What of these is compared: output (what they add to the stream), heads (what their output \
      projections take, mean square), matrix (how they mix rows).
      """)
  var layerLoss: DistillationObjective.LayerComparison?

  @Option(
    parsing: .unconditional,
    help: "The weight of the distance between the distributions of student and teacher.")
  var klWeight: Float?

  @Option(parsing: .unconditional, help: "The weight of the cross-entropy of answers.")
  var ceWeight: Float?

  @Option(
    help: "How distributions are compared: kl, reverse, jsd, jsd-authors, ce, l2.")
  var divergence: Divergence?

  @Option(parsing: .unconditional, help: "Logits are divided by this before they are compared.")
  var temperature: Float?

  @Option(
    help: "How rows count: authors (sums, as the published code), token-mean.")
  var reduction: DistillationObjective.Reduction?

  /// These options, and where they say nothing those of the run.
  func over(_ run: ObjectiveOptions) -> ObjectiveOptions {
    var options = run
    options.layerWeight = layerWeight ?? run.layerWeight
    options.layerLoss = layerLoss ?? run.layerLoss
    options.klWeight = klWeight ?? run.klWeight
    options.ceWeight = ceWeight ?? run.ceWeight
    options.divergence = divergence ?? run.divergence
    options.temperature = temperature ?? run.temperature
    options.reduction = reduction ?? run.reduction
    return options
  }

  /// - Throws: `ValidationError` naming what is out of range.
  func objective() throws -> DistillationObjective {
    var objective = DistillationObjective()
    objective.layerWeight = layerWeight ?? objective.layerWeight
    objective.layerComparison = layerLoss ?? objective.layerComparison
    objective.logitWeight = klWeight ?? objective.logitWeight
    objective.labelWeight = ceWeight ?? objective.labelWeight
    objective.divergence = divergence ?? objective.divergence
    objective.temperature = temperature ?? objective.temperature
    objective.reduction = reduction ?? objective.reduction
    if let problem = objective.problem { throw ValidationError("\(problem).") }
    return objective
  }
}

extension DistillationObjective.Reduction: ExpressibleByArgument {}
extension DistillationObjective.LayerComparison: ExpressibleByArgument {}
