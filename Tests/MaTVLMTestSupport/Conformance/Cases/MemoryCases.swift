import Foundation
import MaTVLMTensor

extension OperationCase {
  static let memory: [OperationCase] =
    DType.elementTypes.map { dtype in
      OperationCase("zeros \(dtype)", .exact) { inputs in
        [
          .stored("some", inputs.backend.zeros([7, 5], dtype), dtype),
          .stored("none", inputs.backend.zeros([0, 5], dtype), dtype),
        ]
      }
    } + conversions + unpacking + rounding + [offsets] + DType.elementTypes.map(adopted)

  /// Ties, the largest numbers, numbers below the smallest normal one, signed zeros.
  private static let awkwardNumbers: [Double] = {
    let chosen: [Double] = [
      0, -0.0, 1, -1, 0x1.01p0, 0x1.03p0, 0x1.008p0, 0x1.018p0, 0x1.002p0, 0x1.006p0, 65504, 65519,
      65520,
      -65536, 1e-5, 3e-8, 2.9e-8, 1e-9, 3.3e38, 3.4e38, -.infinity, .infinity,
    ]
    let spread = (0..<300).map { (index: Int) -> Double in
      sin(Double(index)) * exp2(Double(index % 31 - 15))
    }
    return chosen + spread
  }()

  private static var conversions: [OperationCase] {
    let types = DType.elementTypes.filter(\.isFloatingPoint)
    return types.flatMap { source in
      types.map { target in
        OperationCase("convert \(source) to \(target)", .exact) { inputs in
          let x = inputs.fixed(awkwardNumbers, [awkwardNumbers.count], source)
          let empty = inputs.fixed([], [0, 3], source)
          return [
            .stored("y", inputs.backend.convert(x, to: target), target),
            .stored("empty", inputs.backend.convert(empty, to: target), target),
          ]
        }
      }
    }
  }

  /// A code times its scale is exact in float32.
  private static var unpacking: [OperationCase] {
    Quantization.cases.map { quantization in
      OperationCase("convert \(quantization) to float32 and bfloat16", .exact, isQuantized: true) {
        inputs in
        let x = inputs.matrix(21, 300, .quantized(quantization))
        return [
          .float32("y", inputs.backend.convert(x, to: .float32)),
          .stored("narrow", inputs.backend.convert(x, to: .bfloat16), .bfloat16),
          .float32(
            "copy", inputs.backend.convert(inputs.backend.convert(x, to: x.dtype), to: .float32)),
        ]
      }
    }
  }

  /// Devices may choose scales in other ways, and then their codes differ by one step.
  private static var rounding: [OperationCase] {
    Quantization.cases.flatMap { quantization in
      DType.floatingPointTypes.map { source in
        OperationCase(
          "convert \(source) to \(quantization)",
          CaseTolerance(
            float32: quantization.code == .int8 ? 0.01 : 0.25, narrowRoundings: 0,
            reason:
              "two roundings to steps of 1/127 or 1/7 of the largest of a group of normal numbers"
          ), isQuantized: true
        ) { inputs in
          let x = inputs.numbers([21, 300], source)
          let backend = inputs.backend
          let rounded = backend.convert(x, to: .quantized(quantization))
          return [.float32("y", backend.convert(rounded, to: .float32))]
        }
      }
    }
  }

  private static let offsets = OperationCase("write and read at an offset", .exact) { inputs in
    let x = inputs.state([10])
    let piece: [Float] = [1, 2, 3]
    piece.withUnsafeBytes { inputs.backend.write($0, to: x.storage.memory, at: 16) }
    var read: [Float] = [0, 0, 0, 0]
    read.withUnsafeMutableBytes { inputs.backend.read(x.storage.memory, at: 12, into: $0) }
    return [.float32("written", x), .float32("read", Tensor(read, [4], on: inputs.device))]
  }

  private static func adopted(_ dtype: DType) -> OperationCase {
    OperationCase("adopt \(dtype)", .exact) { inputs in
      let lender = LentBytes(hostBytes(of: (0..<35).map { Double($0 - 17) }, [5, 7], as: dtype))
      let storage = inputs.backend.adopt(UnsafeRawBufferPointer(lender.bytes), owner: lender)
      return [.stored("x", Tensor(storage, [5, 7], dtype), dtype)]
    }
  }
}

/// Stands for a mapped file.
private final class LentBytes: @unchecked Sendable {
  let bytes: UnsafeMutableRawBufferPointer

  init(_ content: [UInt8]) {
    bytes = .allocate(byteCount: content.count, alignment: 64)
    bytes.copyBytes(from: content)
  }

  deinit { bytes.deallocate() }
}
