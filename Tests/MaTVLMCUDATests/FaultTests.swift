import MaTVLMCUDA
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("What goes wrong between the program and a card, on a card that is pretended")
struct FaultTests {
  private func open(_ card: PretendedCard) throws -> Device {
    try .cuda(0, precision: .float32, cudaPath: card.path, cacheFolder: card.cache)
  }

  @Test("The pretended card gives zeros, and fails in nothing")
  func sound() throws {
    let device = try open(PretendedCard())
    let x = Tensor([1, 2, 3], [3], on: device)
    #expect(x.array() == [0, 0, 0])
    _ = device.backend.add(x, x).array()
    try device.check()
  }

  @Test("A driver that is too old is named with what it has and what is needed")
  func oldDriver() throws {
    for (driver, compiler, found, needed) in [
      (11040, 12, "11.4", "12.0"), (12020, 13, "12.2", "13.0"),
    ] {
      let card = try PretendedCard(driver: driver, compiler: compiler)
      #expect {
        try open(card)
      } throws: { error in
        guard case CUDAError.driverTooOld(let path, found, needed, _) = error else { return false }
        return path == card.path + "/libcuda.so.1" && "\(error)".contains("Install a newer")
      }
    }
  }

  private static let hasToolkit =
    (try? DynamicLibrary(
      ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"], in: CUDASearchPath().folders, hint: ""))
    != nil

  @Test(
    "A missing library is named with the package that brings it",
    .enabled(if: !hasToolkit, "this machine has CUDA's toolkit"),
    arguments: [
      (PretendedCard.Library.compiler, "cuda-nvrtc"), (.products, "libcublas"),
    ])
  func missing(_ library: PretendedCard.Library, package: String) throws {
    let rest = PretendedCard.Library.allCases.filter { $0 != library }
    let card = try PretendedCard(libraries: rest)
    #expect {
      try open(card)
    } throws: { error in
      guard case CUDAError.libraryMissing(library.rawValue, _, let hint) = error else {
        return false
      }
      return hint.contains(package)
    }
  }

  @Test("A full card says what is needed and free, and everything is given back")
  func outOfMemory() throws {
    let card = try PretendedCard(memory: 512 << 20)
    for _ in 0..<2 {  // Not so the second time if the first kept anything.
      let device = try open(card)
      let first = Tensor.zeros([64 << 20], on: device)  // 256 MiB
      try device.check()
      let second = Tensor.zeros([64 << 20], on: device)
      #expect {
        try device.check()
      } throws: { error in
        guard case CUDAError.outOfMemory(256 << 20, let inUse, 512 << 20) = error else {
          return false
        }
        let free = ((512 << 20) - inUse) >> 20
        return "\(error)".contains("256 MiB more are needed, and \(free) MiB of 512 MiB are free")
      }
      // Nothing that comes after it looks like a result.
      #expect(second.storage.memory.bits == 0 && first.item(at: 0).isNaN)
    }
  }

  @Test(
    "A card that is lost is named, with what the driver said",
    arguments: [
      ("cuLaunchKernelEx", PretendedCard.Failure.illegalAddress, "CUDA_ERROR_ILLEGAL_ADDRESS"),
      ("cuStreamSynchronize", PretendedCard.Failure.uncorrectableMemory, "ECC_UNCORRECTABLE"),
      ("cuMemcpyDtoHAsync_v2", 999, "CUDA_ERROR_UNKNOWN"),
    ])
  func lost(_ call: String, _ code: Int, _ meaning: String) throws {
    let device = try open(PretendedCard(failing: .init(call, code: code)))
    let x = Tensor([1, 2], [2], on: device)
    #expect(device.backend.add(x, x).array().allSatisfy { $0.isNaN })
    #expect {
      try device.check()
    } throws: { error in
      guard case CUDAError.deviceLost("cuda:0 (Pretended card)", _, code, _) = error else {
        return false
      }
      return "\(error)".contains(meaning) && "\(error)".contains("cuda:0 (Pretended card)")
    }
  }

  @Test("Another failure is no lost card")
  func refused() throws {
    let device = try open(PretendedCard(failing: .init("cuLaunchKernelEx", code: 1)))
    let x = Tensor([1, 2], [2], on: device)
    _ = device.backend.add(x, x)
    #expect {
      try device.check()
    } throws: { error in
      if case CUDAError.callFailed(_, 1, _) = error { true } else { false }
    }
  }
}

extension Tensor {
  fileprivate func item(at index: Int) -> Float {
    var value: Float = 0
    withUnsafeMutableBytes(of: &value) {
      backend.read(storage.memory, at: 4 * index, into: $0)
    }
    return value
  }
}
