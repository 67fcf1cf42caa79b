import MaTVLMCUDA
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Sums over cards, on a card that is pretended")
struct CardSumTests {
  private static let megabyte = 1 << 18  // numbers
  private let card: PretendedCard
  private let device: Device

  private init(_ card: PretendedCard) throws {
    self.card = card
    device = try .cuda(0, precision: .float32, cudaPath: card.path, cacheFolder: card.cache)
  }

  init() throws { try self.init(PretendedCard()) }

  private func ranks() throws -> CardCommunicator {
    try CardCommunicator(OneProcess(), on: device, cudaPath: card.path)
  }

  @Test(
    "NCCL gets buckets on a stream of its own, behind what is queued; only the end waits for it")
  func order() throws {
    // Stream 1 is the card's own, stream 2 NCCL's.
    let sum = try ranks().beginSum()
    sum.add(.zeros([20 * Self.megabyte], on: device))
    #expect(card.queued == [])
    sum.add(.zeros([3, 4 * Self.megabyte], on: device))
    let first = ["wait 2 1", "sum 2 \(20 * Self.megabyte)", "sum 2 \(12 * Self.megabyte)"]
    #expect(card.queued == first)
    sum.add(.zeros([0], on: device))
    sum.add(.zeros([7], on: device))
    #expect(card.queued == first)
    let sums = sum.finish()
    #expect(card.queued == first + ["wait 2 1", "sum 2 7", "wait 1 2"])
    #expect(sums.map(\.shape) == [[20 * Self.megabyte], [3, 4 * Self.megabyte], [0], [7]])
    try device.check()
  }

  @Test("What is all there goes the same way")
  func atOnce() throws {
    let shapes: [Shape] = [[3, 5], [2]]
    let sums = try ranks().sum(shapes.map { .zeros($0, on: device) })
    #expect(sums.map(\.shape) == shapes)
    #expect(card.queued == ["wait 2 1", "sum 2 15", "sum 2 2", "wait 1 2"])
    try device.check()
  }

  @Test("Memory that NCCL may use is not in other hands before the card waits for NCCL")
  func memory() throws {
    let used = try #require(device.backend.memoryInUse)
    var sum: (any PendingSum)? = try ranks().beginSum()
    sum?.add(.zeros([40 * Self.megabyte], on: device))
    #expect(device.backend.memoryInUse == used + 80 << 20)
    #expect(card.queued.last == "sum 2 \(40 * Self.megabyte)")
    sum = nil  // The run failed.
    #expect(card.queued.last == "wait 1 2")
    #expect(device.backend.memoryInUse == used)
  }

  @Test(
    "A call that fails is named",
    arguments: ["cuStreamWaitEvent", "ncclGroupStart", "ncclAllReduce", "ncclGroupEnd"])
  func failure(_ call: String) throws {
    let faulty = try Self(PretendedCard(failing: .init(call, code: 3)))
    _ = try faulty.ranks().sum([.zeros([4], on: faulty.device)])
    #expect {
      try faulty.device.check()
    } throws: { error in
      guard case CUDAError.callFailed(let name, 3, _) = error else { return false }
      return name.hasPrefix(call)
    }
  }

  /// Two processes, the other one of which does the same as this.
  private struct Twins: Communicator {
    let rank = 0
    let size = 2
    let localRank = 0
    let localSize = 2

    func allGather<Element: BitwiseCopyable>(_ values: [Element]) -> [[Element]] {
      [values, values]
    }
    func allToAll<Element: BitwiseCopyable>(_ parts: [[Element]]) -> [[Element]] {
      [parts[0], parts[0]]
    }
  }

  @Test("In a run, each update gives NCCL every gradient once, and the card waits for it once")
  func run() throws {
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.warmupSteps) = (2, 0)
    (configuration.batchSize, configuration.gradientAccumulation) = (2, 4)
    var run = try GoldenRun(configuration, on: device)
    try run.join(CardCommunicator(Twins(), on: device, cudaPath: card.path))
    try run.run()
    let counts = run.trainer.trainedParameters.map(\.shape.count)
    let starts = card.queued.indices.filter { card.queued[$0] == "wait 2 1" }
    #expect(starts.count == 2 && card.queued.count == 2 * (counts.count + 2))
    for start in starts {
      let sums = card.queued[start + 1...start + counts.count]
      #expect(sums.sorted() == counts.map { "sum 2 \($0)" }.sorted())
      #expect(card.queued[start + counts.count + 1] == "wait 1 2")
    }
  }

  private static let hasNCCL =
    (try? DynamicLibrary(["libnccl.so.2", "libnccl.so"], in: CUDASearchPath().folders, hint: ""))
    != nil

  @Test(
    "NCCL that is missing is named with the package that brings it",
    .enabled(if: !hasNCCL, "this machine has NCCL"))
  func missing() throws {
    let others = PretendedCard.Library.allCases.filter { $0 != .collectives }
    let without = try Self(PretendedCard(libraries: others))
    #expect {
      try without.ranks()
    } throws: { error in
      guard case CUDAError.libraryMissing("libnccl.so.2", _, let hint) = error else { return false }
      return hint.contains("libnccl2")
    }
  }
}
