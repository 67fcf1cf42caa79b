import MaTVLMCore
import Testing

@Suite("In which order samples are visited, and at which rate")
struct SampleOrderTests {
  private func visits(
    _ number: Int, count: Int = 10, shuffles: Bool = true, seed: UInt64 = 1, from start: Int = 0
  ) -> [Int] {
    var order = SampleOrder(count: count, shuffles: shuffles, seed: seed, visits: start)
    return (0..<number).map { _ in order.next() }
  }

  @Test("every epoch has every sample once, each in an order of its own")
  func epochs() {
    let visits = visits(50)
    let epochs = (0..<5).map { Array(visits[10 * $0..<10 * $0 + 10]) }
    #expect(epochs.allSatisfy { $0.sorted() == Array(0..<10) })
    #expect(Set(epochs).count == 5)
    #expect(visits == self.visits(50))
    #expect(self.visits(50, seed: 2) != visits)
  }

  @Test("files' order without shuffling")
  func unshuffled() {
    #expect(visits(7, count: 3, shuffles: false) == [0, 1, 2, 0, 1, 2, 0])
  }

  @Test("a run that goes on visits what it would have visited", arguments: [1, 9, 10, 11, 25])
  func resumption(_ start: Int) {
    #expect(visits(30 - start, from: start) == Array(visits(30).dropFirst(start)))
  }

  @Test("warm-up, hold, decay")
  func schedule() {
    let schedule = LearningRateSchedule(peak: 8, warmup: 4, decay: 4, total: 12)
    let half = 0.5.squareRoot()
    let expected = [0, 2, 4, 6, 8, 8, 8, 8, 8, 4 * (1 + half), 4, 4 * (1 - half), 0, 0]
    for (update, rate) in expected.enumerated() {
      #expect(abs(schedule.rate(at: update) - rate) < 1e-12, "\(update)")
    }
    let constant = LearningRateSchedule(peak: 3, warmup: 0, decay: 0, total: 2)
    #expect((0..<3).map(constant.rate) == [3, 3, 0])
  }

  @Test("configurations that make no sense are said")
  func problems() {
    #expect(TrainingConfiguration().problem == nil && DistillationObjective().problem == nil)
    let changes: [(inout TrainingConfiguration) -> Void] = [
      { $0.steps = 0 }, { $0.batchSize = -1 }, { $0.gradientAccumulation = 0 },
      { $0.warmupSteps = -1 }, { $0.decaySteps = 2 }, { $0.learningRate = 0 },
      { $0.learningRate = .nan }, { $0.learningRate = 11 }, { $0.optimizer.weightDecay = -1 },
      { $0.clip = 0 }, { $0.clip = .nan }, { $0.evaluationInterval = 0 },
    ]
    for (index, change) in changes.enumerated() {
      var configuration = TrainingConfiguration()
      change(&configuration)
      #expect(configuration.problem != nil, "\(index)")
    }
    let objectives: [(inout DistillationObjective) -> Void] = [
      { $0.temperature = 0 }, { $0.temperature = .infinity }, { $0.layerWeight = -1 },
      { $0.logitWeight = .nan },
      { ($0.layerWeight, $0.logitWeight, $0.labelWeight) = (0, 0, 0) },
    ]
    for (index, change) in objectives.enumerated() {
      var objective = DistillationObjective()
      change(&objective)
      #expect(objective.problem != nil, "\(index)")
    }
  }
}
