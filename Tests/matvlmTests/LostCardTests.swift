import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("A run on a card that fails, on a card that is pretended")
struct LostCardTests {
  private func distill(
    _ workplace: Workplace, on card: PretendedCard, steps: Int, _ others: String...
  ) throws -> Command {
    let options =
      others + [
        "--steps", "\(steps)", "--checkpoint-interval", "1", "--device", "cuda", "--cuda-path",
        card.path,
      ]
    // Kernels that are none are not to be kept with the user's own.
    return try Command(
      Workplace.distill + options, in: workplace.folder,
      environment: ["XDG_CACHE_HOME": card.cache.path])
  }

  @Test(
    "It ends with an error that names the card, keeps whole checkpoints, and goes on from them",
    arguments: [
      ("cuStreamSynchronize", 60), ("cuMemcpyDtoHAsync_v2", 200), ("cuLaunchKernelEx", 9000),
    ])
  func lost(_ call: String, _ calls: Int) throws {
    let workplace = try Workplace()
    let card = try PretendedCard(
      failing: .init(call, after: calls, code: PretendedCard.Failure.illegalAddress))
    let failed = try distill(workplace, on: card, steps: 10_000)
    failed.expectFailure(
      EXIT_FAILURE, ["cuda:0 (Pretended card)", "CUDA_ERROR_ILLEGAL_ADDRESS", "is kept"])
    let steps = workplace.checkpoints()
    #expect(!steps.isEmpty)
    for path in try workplace.content where path.hasSuffix("parameters.safetensors") {
      let file = try SafetensorsFile(workplace.folder[path])
      for entry in file.entries {
        // What a lost card is asked for comes as bits that are all ones.
        let isWhole = file.bytes(of: entry).bindMemory(to: UInt32.self).allSatisfy { $0 != .max }
        #expect(isWhole, "\(path): \(entry.name)")
      }
    }
  }

  @Test("A card without room ends the run before it leaves anything")
  func full() throws {
    let workplace = try Workplace()
    let before = try workplace.content
    let card = try PretendedCard(memory: 66 << 20)
    // A plan that is told of more memory than there is lets the run begin.
    try distill(workplace, on: card, steps: 2, "--memory", "1").expectFailure(
      EXIT_FAILURE, ["out of memory", "more are needed", "MiB of 66 MiB are free"])
    try distill(workplace, on: card, steps: 2).expectFailure(EX_DATAERR, ["needs", "MiB"])
    #expect(try workplace.content == before)
  }
}
