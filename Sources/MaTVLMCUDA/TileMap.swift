import MaTVLMTensor

/// How the copy engine of a card finds tiles of 64 rows of a head in rows [T, heads·P] of bfloat16, as
/// tile_copies.cuh needs it.
extension CUDABackend {
  /// A `struct TileMap` for each tensor, and zeros up to `room` of them.
  /// - Parameter tensors: bfloat16 [T, heads·P] each.
  func tileMaps(_ tensors: [Tensor], heads: Int, room: Int = 1) -> KernelArgument {
    let none = Array(repeating: UInt64(0), count: TensorMap.words * TensorMap.parts.count)
    let maps = tensors.flatMap { tensor in
      // Nobody reads the map of a tensor without rows.
      guard tensor.shape.count > 0 else { return none }
      return attempt(queues: false) {
        try TensorMap.parts.flatMap { part in
          try device.driver.tensorMap(TensorMap(tensor, heads: heads, part))
        }
      } ?? none
    }
    return .words(maps + Array(repeating: 0, count: room * none.count - maps.count))
  }
}

/// What the driver makes a `CUtensorMap` of: pieces of a tensor [T, heads, P] of bfloat16.
struct TensorMap {
  /// A part of the columns of a tile, and the driver's number for swizzling all bytes of its rows.
  typealias Part = (columns: Int, swizzle: Int32)

  /// `FIRST_COLUMNS` of warpgroup.cuh, and those after them.
  static let parts: [Part] = [(columns: 64, swizzle: 3), (columns: 16, swizzle: 1)]
  /// `CUtensorMap` in words of eight bytes.
  static let words = 16
  private static let rows = 64

  let address: CUDADriver.Address
  /// Columns of a head, rows and heads.
  let extents: [UInt64]
  /// Bytes from a row to the next, and from a head.
  let strides: [UInt64]
  /// What is copied at once.
  let box: [UInt32]
  let swizzle: Int32

  init(_ tensor: Tensor, heads: Int, _ part: Part) {
    let width = tensor.shape.width / heads
    let bytes = DType.bfloat16.byteCount
    address = tensor.address
    extents = [width, tensor.shape.rows, heads].map { UInt64($0) }
    strides = [tensor.shape.width, width].map { UInt64($0 * bytes) }
    box = [part.columns, Self.rows, 1].map { UInt32($0) }
    swizzle = part.swizzle
  }
}

extension CUDADriver {
  /// A `CUtensorMap` of what is not interleaved; zeros outside of the tensor.
  func tensorMap(_ map: TensorMap) throws -> [UInt64] {
    let (bfloat16, noInterleaving, promotionTo128Bytes, zeros) =
      (9, 0, 2, 0) as (Int32, Int32, Int32, Int32)
    return try withUnsafeTemporaryAllocation(byteCount: 8 * TensorMap.words, alignment: 64) {
      let words = $0.initializeMemory(as: UInt64.self, repeating: 0)
      let status = encodeTensorMap(
        $0.baseAddress!, bfloat16, UInt32(map.extents.count), map.address, map.extents,
        map.strides, map.box, [1, 1, 1], noInterleaving, map.swizzle, promotionTo128Bytes, zeros)
      try check(status, "cuTensorMapEncodeTiled(\(map.extents), \(map.box))")
      return Array(words)
    }
  }
}
