import MaTVLMTensor

/// One argument of a kernel, by the type that its declaration has.
enum KernelArgument {
  case address(UInt64)
  case int32(Int)
  case int64(Int)
  case float(Float)
  /// A structure, in words of eight bytes.
  case words([UInt64])

  /// Two ints of a structure, in one word of it.
  static func pair(_ first: Int, _ second: Int) -> UInt64 {
    UInt64(UInt32(bitPattern: Int32(first))) | UInt64(UInt32(bitPattern: Int32(second))) << 32
  }

  static func tensor(_ tensor: Tensor) -> KernelArgument { .address(tensor.address) }
  static func tensor(_ tensor: Tensor?) -> KernelArgument { .address(tensor?.address ?? 0) }

  /// Calls `body` with the address of each argument, as a launch takes them.
  static func withAddresses<R>(
    of arguments: [KernelArgument],
    _ body: (UnsafeMutablePointer<UnsafeMutableRawPointer?>) throws -> R
  ) rethrows -> R {
    var words: [UInt64] = []
    var starts: [Int] = []
    words.reserveCapacity(arguments.count)
    starts.reserveCapacity(arguments.count)
    for argument in arguments {
      starts.append(words.count)
      switch argument {
      case .address(let value): words.append(value)
      case .int32(let value): words.append(UInt64(UInt32(bitPattern: Int32(value))))
      case .int64(let value): words.append(UInt64(bitPattern: Int64(value)))
      case .float(let value): words.append(UInt64(value.bitPattern))
      case .words(let values): words.append(contentsOf: values)
      }
    }
    return try words.withUnsafeMutableBytes { bytes in
      try withUnsafeTemporaryAllocation(
        of: UnsafeMutableRawPointer?.self, capacity: max(1, arguments.count)
      ) { addresses in
        for (index, start) in starts.enumerated() {
          addresses[index] = bytes.baseAddress! + 8 * start
        }
        return try body(addresses.baseAddress!)
      }
    }
  }
}

extension Tensor {
  /// Where the elements lie in the card's memory.
  var address: UInt64 { UInt64(storage.memory.bits) }
}
