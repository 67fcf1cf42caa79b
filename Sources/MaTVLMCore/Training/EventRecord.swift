import Foundation
import MaTVLMTensor

/// TensorBoard's event files: records of TensorFlow's `Event` message.
///
/// A record is the length of its data, the masked CRC-32C of that, the data, and the masked CRC-32C
/// of that (tensorflow/core/lib/io/record_writer.h); the message is tensorflow/core/util/event.proto.
enum EventRecord {
  /// What every file begins with.
  static var start: Data {
    // 3: file_version
    record(double(1, 0) + bytes(3, Data("brain.Event:2".utf8)))
  }

  /// Numbers by their tags.
  ///
  /// - Parameter time: seconds since 1970.
  static func scalars(_ scalars: [(String, Double)], step: Int, at time: Double) -> Data {
    // Summary, 1: value; Summary.Value, 1: tag, 2: simple_value
    let values = scalars.map { tag, value in
      bytes(1, bytes(1, Data(tag.utf8)) + float(2, Float(value)))
    }
    // Event, 1: wall_time, 2: step, 5: summary
    return record(
      double(1, time) + key(2, .varint) + varint(UInt64(step)) + bytes(5, Data(values.joined())))
  }

  private static func record(_ data: Data) -> Data {
    let length = littleEndian(UInt64(data.count))
    return length + littleEndian(masked(length)) + data + littleEndian(masked(data))
  }

  /// A checksum that stays good when it is itself part of what is summed up.
  private static func masked(_ data: Data) -> UInt32 {
    let crc = CRC32C(data).value
    return (crc >> 15 | crc << 17) &+ 0xA282_EAD8
  }

  // MARK: Protocol buffers

  private enum Wire: UInt64 {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
  }

  private static func key(_ field: UInt64, _ wire: Wire) -> Data {
    varint(field << 3 | wire.rawValue)
  }

  private static func varint(_ value: UInt64) -> Data {
    var (rest, data) = (value, Data())
    while rest > 0x7F {
      data.append(UInt8(rest & 0x7F) | 0x80)
      rest >>= 7
    }
    data.append(UInt8(rest))
    return data
  }

  private static func bytes(_ field: UInt64, _ content: Data) -> Data {
    key(field, .bytes) + varint(UInt64(content.count)) + content
  }

  private static func double(_ field: UInt64, _ value: Double) -> Data {
    key(field, .fixed64) + littleEndian(value.bitPattern)
  }

  private static func float(_ field: UInt64, _ value: Float) -> Data {
    key(field, .fixed32) + littleEndian(value.bitPattern)
  }

  private static func littleEndian(_ value: some FixedWidthInteger) -> Data {
    withUnsafeBytes(of: value.littleEndian) { Data($0) }
  }
}
