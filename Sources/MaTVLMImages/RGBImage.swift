import CImageCodecs
import Foundation

/// A picture of 8-bit red, green and blue values.
public struct RGBImage: Sendable, Equatable {
  public let width: Int
  public let height: Int
  /// Row by row, `[height, width, 3]`.
  public let pixels: [UInt8]

  /// A picture of the given pixels.
  ///
  /// - Precondition: both sides are positive and `pixels` holds `height * width * 3` values.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(
      width > 0 && height > 0 && pixels.count == height * width * 3,
      "RGBImage: \(pixels.count) values for [\(height), \(width), 3]")
    self.width = width
    self.height = height
    self.pixels = pixels
  }

  /// Reads and decodes a JPEG or PNG file, as Pillow's `Image.open(path).convert("RGB")` with
  /// `LOAD_TRUNCATED_IMAGES`: a file that ends early keeps what its rows hold, the rest is grey or
  /// black. The format is told by the first bytes, not by the name.
  ///
  /// - Throws: ``ImageError`` naming the path.
  public init(contentsOf url: URL) throws {
    try self.init(decoding: Self.bytes(of: url), name: url.path)
  }

  /// Decodes the bytes of a JPEG or PNG file; see ``init(contentsOf:)``.
  ///
  /// - Parameter name: what errors call the picture: a path, or where the bytes came from.
  /// - Throws: ``ImageError`` if the bytes are empty, of another format, or damaged.
  public init(decoding bytes: some ContiguousBytes, name: String) throws {
    self = try bytes.withUnsafeBytes { buffer in
      let found = FileSignature(buffer.prefix(FileSignature.length))
      switch found {
      case .jpeg: return try Self.decoded(buffer, as: found, name, by: matvlm_jpeg_decode)
      case .png: return try Self.decoded(buffer, as: found, name, by: matvlm_png_decode)
      case .empty: throw ImageError.empty(path: name)
      default: throw ImageError.unknownFormat(path: name, found: found.rawValue)
      }
    }
  }

  /// The picture as the bytes of an 8-bit RGB PNG file.
  ///
  /// - Throws: ``ImageError/unencodable(reason:)`` if a side is over 2³¹ - 1 or memory is short.
  public func pngData() throws -> Data {
    guard let width = UInt32(exactly: width), let height = UInt32(exactly: height) else {
      throw ImageError.unencodable(reason: "PNG has no room for \(width) x \(height) pixels")
    }
    var bytes: UnsafeMutablePointer<UInt8>?
    var count = 0
    var message = Self.emptyMessage
    let status = matvlm_png_encode(
      pixels, width, height, &bytes, &count, &message, message.count)
    guard status == 0, let bytes else {
      throw ImageError.unencodable(reason: Self.text(message))
    }
    defer { matvlm_image_free(bytes) }
    return Data(bytes: bytes, count: count)
  }
}

extension RGBImage {
  /// The largest file that is read: far above any picture within the pixel limit.
  private static let largestFile = 1 << 30

  /// The type of the C decoders.
  private typealias Decoder = (
    UnsafePointer<UInt8>?, Int, UnsafeMutablePointer<matvlm_image>?, UnsafeMutablePointer<CChar>?,
    Int
  ) -> Int32

  private static let emptyMessage = [CChar](repeating: 0, count: 256)

  private static func text(_ message: [CChar]) -> String {
    String(decoding: message.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  private static func bytes(of url: URL) throws -> Data {
    do {
      let values = try url.resourceValues(forKeys: [.isRegularFileKey, .fileSizeKey])
      guard values.isRegularFile == true else {
        throw ImageError.unreadable(path: url.path, reason: "it is not a regular file")
      }
      guard let size = values.fileSize, size <= largestFile else {
        throw ImageError.unreadable(path: url.path, reason: "it is larger than 1 GiB")
      }
      return try Data(contentsOf: url)
    } catch let error as ImageError {
      throw error
    } catch {
      throw ImageError.unreadable(path: url.path, reason: error.systemReason)
    }
  }

  private static func decoded(
    _ buffer: UnsafeRawBufferPointer, as format: FileSignature, _ name: String, by decode: Decoder
  ) throws -> RGBImage {
    var image = matvlm_image()
    var message = emptyMessage
    let bytes = buffer.bindMemory(to: UInt8.self)
    guard decode(bytes.baseAddress, bytes.count, &image, &message, message.count) == 0 else {
      throw ImageError.damaged(path: name, format: format.rawValue, reason: text(message))
    }
    defer { matvlm_image_free(image.pixels) }
    let (width, height) = (Int(image.width), Int(image.height))
    let pixels = UnsafeBufferPointer(start: image.pixels, count: height * width * 3)
    return RGBImage(width: width, height: height, pixels: Array(pixels))  // [H, W, 3]
  }
}
