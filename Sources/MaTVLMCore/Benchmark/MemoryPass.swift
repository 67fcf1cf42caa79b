import MaTVLMTensor

/// Memory of a device that is read from one end to the other: how fast weights could be read just now.
///
/// On a machine that is shared with others this changes within seconds, so that a speed is compared with
/// passes in between.
package struct MemoryPass {
  private let matrix: Tensor  // [rows, 4096]
  private let x: Tensor  // [1, 4096]
  /// Readings behind each other: a card reads this in less time than it takes to ask for and to answer.
  private let readings: Int
  private let clock = ContinuousClock()

  /// Of the memory, which is held as long as this is.
  package static let byteCount = 5 << 28

  package init(_ device: Device) {
    let (type, width) = (device.backend.activationType, 4096)
    matrix = Tensor.zeros([Self.byteCount / width / type.byteCount, width], type, on: device)
    x = Tensor.zeros([1, width], type, on: device)
    readings = device == .cpu ? 1 : 16
  }

  /// Bytes a second of one pass, in the faster of two ways: as the matrix of a product with one row, and to
  /// add up its squares.
  package func bytesPerSecond() -> Double {
    let backend = matrix.backend
    let seconds =
      [
        clock.measure {
          for _ in 1..<readings { _ = backend.linear(x, matrix, nil) }
          _ = backend.linear(x, matrix, nil).array()
        },
        clock.measure {
          _ = backend.sumOfSquares(Array(repeating: matrix, count: readings)).item()
        },
      ].min()! / .seconds(1)
    return Double(readings * Self.byteCount) / seconds
  }
}
