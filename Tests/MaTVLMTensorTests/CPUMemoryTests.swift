#if os(Linux)
  import Foundation
  import MaTVLMTensor
  import Testing

  @Suite("Memory of the processor that nobody needs is given back")
  struct CPUMemoryTests {
    /// A block has one of four sizes for each power of two: 16 MiB for what takes a little over 14.
    @Test("what a block has beyond its tensor, when something larger was there before")
    func slack() {
      let page = sysconf(Int32(_SC_PAGESIZE))
      let (used, block) = ((14 << 20) + 4 * page, 16 << 20)
      _ = filled(bytes: block)
      let tensor = filled(bytes: used)
      tensor.backend.releaseUnusedMemory(beside: [tensor])
      let address = tensor.storage.memory.bits
      #expect(residentPages(address + UInt(used), block - used) == 0)
      #expect(residentPages(address, used) == used / page)
      #expect(tensor.array().allSatisfy { $0 == 1 })
    }

    private func filled(bytes: Int) -> Tensor {
      Tensor([Float](repeating: 1, count: bytes / 4), [bytes / 4])
    }

    /// How many pages of the memory at `address` are there.
    private func residentPages(_ address: UInt, _ byteCount: Int) -> Int {
      let pages = byteCount / sysconf(Int32(_SC_PAGESIZE))
      var found = [UInt8](repeating: 0, count: pages)
      #expect(mincore(UnsafeMutableRawPointer(bitPattern: address), byteCount, &found) == 0)
      return found.count { $0 & 1 == 1 }
    }
  }
#endif
