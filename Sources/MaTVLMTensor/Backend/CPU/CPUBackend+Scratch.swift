import CMaTVLMKernels

extension CPUBackend {
  /// Memory for kernels that bring none: `count` floats with undefined content.
  func withScratch<Result>(
    _ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Result
  ) -> Result {
    withScratch(byteCount: count * MemoryLayout<Float>.stride) {
      body($0.baseAddress!.assumingMemoryBound(to: Float.self))
    }
  }

  /// Bytes with undefined content, for as long as `body` runs. The C library would keep large ones between
  /// small blocks, hundreds of megabytes of them after a checkpoint.
  func withScratch<Result>(
    byteCount: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Result
  ) rethrows -> Result {
    let memory = allocate(byteCount: byteCount)
    defer { free(memory, byteCount: byteCount) }
    return try body(UnsafeMutableRawBufferPointer(start: memory.pointer, count: byteCount))
  }
}

/// A block of consecutive rows of one segment: what one thread works on at a time.
struct RowBlock: Sendable {
  let segment: Int
  /// The first row, counted from the segment's first row.
  let first: Int
  let count: Int
}

extension Segments {
  /// Blocks of `size` rows, the last one of each segment shorter.
  func blocks(of size: Int) -> [RowBlock] {
    lengths.enumerated().flatMap { segment, length in
      stride(from: 0, to: length, by: size).map {
        RowBlock(segment: segment, first: $0, count: min(size, length - $0))
      }
    }
  }
}
