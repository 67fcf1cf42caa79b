import Foundation
import MaTVLMCore

/// Shows a run to people: one line that is written over on a terminal, lines now and then otherwise.
struct ProgressPrinter {
  private let steps: Int
  private let interval: Int
  /// Updates that were made before.
  private let made: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var shown: ContinuousClock.Instant?
  private var stage: String?

  init(steps: Int, after made: Int) {
    (self.steps, self.made) = (steps, made)
    interval = max(1, steps / 20)
    start = clock.now
  }

  mutating func show(_ event: TrainingEvent) {
    switch event {
    case .update(let update): show(update)
    case .evaluation(let step, let losses):
      line("held-out after \(step): " + Self.text(losses))
    case .skipped(let error): line("skipped: \(error)")
    }
  }

  private mutating func show(_ update: TrainingUpdate) {
    if let stage = update.stage, stage != self.stage { line("stage \(stage)") }
    stage = update.stage
    if let outlier = update.outlier { line(Self.text(outlier, of: update)) }
    let isLast = update.step == steps
    let text = describe(update)
    if StandardError.isTerminal {
      // Ten times a second is as often as anyone reads.
      if let shown, clock.now - shown < .milliseconds(100), !isLast { return }
      shown = clock.now
      StandardError.write("\r\u{1B}[K\(bar(update.step)) \(text)" + (isLast ? "\n" : ""))
    } else if update.step % interval == 0 || update.step == made + 1 || isLast {
      StandardError.print(text)
    }
  }

  private func describe(_ update: TrainingUpdate) -> String {
    let elapsed = (clock.now - start) / .seconds(1)
    let left = elapsed / Double(update.step - made) * Double(steps - update.step)
    return "\(update.step)/\(steps)  " + Self.text(update.losses)
      + "  \(Self.number(update.tokensPerSecond, 0)) tokens/s  \(Self.duration(left)) left"
  }

  private func bar(_ step: Int) -> String {
    let filled = step * 20 / steps
    return "[" + String(repeating: "#", count: filled)
      + String(repeating: " ", count: 20 - filled) + "]"
  }

  private func line(_ text: String) {
    StandardError.write(StandardError.isTerminal ? "\r\u{1B}[K\(text)\n" : "\(text)\n")
  }

  private static func text(_ outlier: Outlier, of update: TrainingUpdate) -> String {
    let name = outlier.quantity == .loss ? "the loss" : "the gradient norm"
    return "update \(update.step): \(name) is \(number(outlier.value, 3)), with a median of "
      + "\(number(outlier.median, 3)) before" + (outlier.isSkipped ? "; the update is skipped" : "")
  }

  private static func text(_ losses: LossMeans) -> String {
    [("layer", losses.layer), ("kl", losses.kl), ("ce", losses.ce)].compactMap { name, value in
      value.map { "\(name) \(number($0, 3))" }
    }.joined(separator: "  ")
  }

  private static func number(_ value: Double, _ digits: Int) -> String {
    String(format: "%.\(digits)f", value)
  }

  private static func duration(_ seconds: Double) -> String {
    let whole = Int(seconds.rounded())
    return whole >= 3600
      ? String(format: "%d:%02d:%02d", whole / 3600, whole / 60 % 60, whole % 60)
      : String(format: "%d:%02d", whole / 60, whole % 60)
  }
}
