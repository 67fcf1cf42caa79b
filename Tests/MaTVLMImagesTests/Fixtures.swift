import Foundation
import MaTVLMImages

/// The pictures of `Fixtures/`: `golden/` with what PyTorch's processor made of them, `formats/`
/// with what Pillow decodes (made by the script that lies there).
enum Fixtures {
  static func url(_ path: String) -> URL {
    Bundle.module.resourceURL!.appendingPathComponent("Fixtures").appendingPathComponent(path)
  }

  static func data(_ path: String) throws -> Data { try Data(contentsOf: url(path)) }

  static func image(_ path: String) throws -> RGBImage { try RGBImage(contentsOf: url(path)) }

  /// The uint8 [H, W, 3] tensors of `golden/images.safetensors`, by name.
  static func goldenPictures() throws -> [String: RGBImage] {
    struct Entry: Decodable {
      let shape: [Int]
      let dataOffsets: [Int]
    }
    let file = try data("golden/images.safetensors")
    let length = file.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let header = try decoder.decode(
      [String: Entry].self, from: file.dropFirst(8).prefix(length))
    let body = file.dropFirst(8 + length)
    return header.mapValues { entry in
      let bytes = body.dropFirst(entry.dataOffsets[0]).prefix(
        entry.dataOffsets[1] - entry.dataOffsets[0])
      return RGBImage(width: entry.shape[1], height: entry.shape[0], pixels: Array(bytes))
    }
  }

  /// What Pillow made of the pictures in `formats/`.
  struct Expected: Decodable {
    struct Picture: Decodable {
      let width: Int
      let height: Int
      let rgb: Data
      var image: RGBImage { RGBImage(width: width, height: height, pixels: Array(rgb)) }
    }
    let decoded: [String: Picture]
    let resized: [Picture]

    static func load() throws -> Expected {
      try JSONDecoder().decode(Expected.self, from: data("formats/expected.json"))
    }
  }
}

extension RGBImage {
  /// The largest difference of a value; nil if the sizes differ.
  func largestDifference(from other: RGBImage) -> Int? {
    guard width == other.width, height == other.height else { return nil }
    return zip(pixels, other.pixels).map { abs(Int($0) - Int($1)) }.max()
  }
}
