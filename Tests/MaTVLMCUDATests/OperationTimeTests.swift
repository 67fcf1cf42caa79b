import MaTVLMCUDA
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The time of operations on a card, of which plans are made")
struct OperationTimeTests {
  @Test("A kernel's first use, which may compile it, is not what counts")
  func first() throws {
    let counting = CountingBackend(.processor(threads: 1))
    let x = Tensor.zeros([4, 8], .float32, on: Device(counting))
    _ = counting.takeOperations()
    _ = counting.activate(x, .gelu)
    let operation = try #require(counting.takeOperations().all.first)
    // A card that is lost when a kernel is queued for the second time.
    let card = try PretendedCard(
      compiling: 0.2,
      failing: .init("cuLaunchKernelEx", after: 1, code: PretendedCard.Failure.illegalAddress))
    let device = try Device.cuda(
      precision: .float32, cudaPath: card.path, cacheFolder: card.cache)
    var zeros = ProbeInputs()
    _ = operation.seconds(on: device, &zeros)
    #expect(throws: CUDAError.self) { try device.check() }
  }
}
