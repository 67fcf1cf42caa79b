import MaTVLMTensor

/// Codes and scales of a quantised matrix, written out from the description of ``QuantizedLayout``
/// one number at a time.
struct QuantizedNumbers {
  private let rows, columns, bits, group: Int
  /// Rows and groups that are stored, filled up.
  private let panels, groups: Int

  init(_ shape: Shape, _ quantization: Quantization) {
    (rows, columns) = (shape.rows, shape.width)
    (bits, group) = (quantization.code.rawValue, quantization.group)
    (panels, groups) = ((rows + 15) / 16, (columns + group - 1) / group)
  }

  private var scalesOffset: Int { panels * groups * group * bits * 2 }
  private var byteCount: Int { scalesOffset + panels * groups * 32 }

  private func scaleOffset(_ row: Int, _ column: Int) -> Int {
    scalesOffset + 2 * ((row / 16 * groups + column / group) * 16 + row % 16)
  }

  private func codeOffset(_ row: Int, _ column: Int) -> Int {
    let blocks = groups * group * bits / 32  // of 64 bytes, in a panel
    let block = row / 16 * blocks + column / (32 / bits)
    return 64 * block + 4 * (row % 16) + column % 4
  }

  private func isHigh(_ column: Int) -> Bool { bits == 4 && column % 8 >= 4 }

  /// Each weight rounded to the nearest code, the largest of its group to the largest code. What is
  /// filled up has bits that nobody may use.
  func encode(_ values: [Double]) -> [UInt8] {
    var bytes = [UInt8](repeating: 0xFF, count: byteCount)
    let largest = Double(1 << (bits - 1) - 1)
    for row in 0..<rows {
      for first in stride(from: 0, to: columns, by: group) {
        let inGroup = first..<min(columns, first + group)
        let top = inGroup.reduce(0) { max($0, values[row * columns + $1].magnitude) }
        let bits = NarrowFloat.bfloat16.encode(top / largest)
        let scale = NarrowFloat.bfloat16.decode(bits)
        withUnsafeBytes(of: bits.littleEndian) {
          bytes.replaceSubrange(scaleOffset(row, first)..<scaleOffset(row, first) + 2, with: $0)
        }
        for column in inGroup {
          let code = scale == 0 ? 0 : (values[row * columns + column] / scale).rounded()
          set(&bytes, row, column, Int(min(largest, max(-largest, code))))
        }
      }
    }
    return bytes
  }

  private func set(_ bytes: inout [UInt8], _ row: Int, _ column: Int, _ code: Int) {
    let offset = codeOffset(row, column)
    if bits == 8 {
      bytes[offset] = UInt8(code + 128)
    } else {
      let half = UInt8(code + 8)
      bytes[offset] =
        isHigh(column) ? bytes[offset] & 0x0F | half << 4 : bytes[offset] & 0xF0 | half
    }
  }

  func decode(_ bytes: UnsafeRawBufferPointer) -> [Double] {
    (0..<rows * columns).map { index in
      let (row, column) = (index / columns, index % columns)
      let scale = bytes.load(fromByteOffset: scaleOffset(row, column), as: UInt16.self)
      let byte = Int(bytes[codeOffset(row, column)])
      let code = bits == 8 ? byte - 128 : (isHigh(column) ? byte >> 4 : byte & 15) - 8
      return NarrowFloat.bfloat16.decode(UInt16(littleEndian: scale)) * Double(code)
    }
  }
}
