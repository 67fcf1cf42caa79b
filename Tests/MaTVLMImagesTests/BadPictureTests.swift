import Foundation
import MaTVLMImages
import Testing

@Suite struct BadPictureTests {
  @Test func tellsWhatItFound() throws {
    let cases: [(bytes: [UInt8], text: String)] = [
      ([], "empty"),
      (Array("Where is the red circle?\n".utf8), "found text"),
      (
        Array("Où est le cercle rouge ? Ici, à côté de l'étoile, là où il était.".utf8),
        "found text"
      ),
      (Array("<!DOCTYPE html><html>404</html>".utf8), "HTML"),
      (Array("GIF89a123456".utf8), "GIF"),
      (Array("version https://git-lfs.github.com/spec/v1".utf8), "Git LFS"),
      ([0x00, 0x01, 0x80, 0xFF], "no known picture format"),
      ([0x89, 0x50, 0x4E, 0x47], "no known picture format"),
    ]
    for (bytes, text) in cases {
      let message = try #require(failure(bytes))
      #expect(message.contains(text) && message.hasPrefix("x.png: "), "\(message)")
    }
  }

  @Test func namesAFileThatCannotBeRead() throws {
    let missing = URL(fileURLWithPath: "/nowhere/at/all.png")
    let error = #expect(throws: ImageError.self) { try RGBImage(contentsOf: missing) }
    #expect(
      try #require(error).description.contains("all.png: cannot read the picture: No such file"))
    let folder = FileManager.default.temporaryDirectory
    #expect(throws: ImageError.self) { try RGBImage(contentsOf: folder) }
  }

  @Test func refusesSizesThatNoPictureHas() throws {
    let rest = [UInt8](try Fixtures.data("formats/rgb8.png"))[33...]
    for (width, height) in [(0, 5), (5, 0), (65501, 1), (1, 65501), (60000, 60000)] {
      let message = try #require(failure(header(width: width, height: height) + rest))
      #expect(message.contains("x.png: the PNG cannot be decoded"), "\(message)")
    }
    let square = try #require(failure(header(width: 13378, height: 13378) + rest))
    #expect(square.contains("13378 x 13378") && square.contains("178956970"), "\(square)")
    var jpeg = [UInt8](try Fixtures.data("formats/444.jpg"))
    let frame = try #require(jpeg.indices.first { jpeg[$0] == 0xFF && jpeg[$0 + 1] == 0xC0 })
    jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xFF, 0xD0, 0xFF, 0xD0])
    #expect(try #require(failure(jpeg)).contains("65488 x 65488"))
  }

  /// A header that promises more rows than the data holds keeps the rows there are.
  @Test func aLyingHeaderLeavesRowsBlack() throws {
    let data = [UInt8](try Fixtures.data("formats/rgb8.png"))
    let whole = try Fixtures.image("formats/rgb8.png")
    let lying = header(width: 13, height: 400) + data[33...]
    let image = try RGBImage(decoding: lying, name: "lying")
    #expect(image.height == 400)
    #expect(image.pixels.prefix(whole.pixels.count) == whole.pixels[...])
    #expect(image.pixels.dropFirst(whole.pixels.count).allSatisfy { $0 == 0 })
  }

  @Test func aWrongChecksumIsDamage() throws {
    var data = [UInt8](try Fixtures.data("golden/a.png"))
    data[data.count - 20] ^= 1
    #expect(failure(data) != nil)
  }

  /// Cut anywhere, a picture is either refused or has its first rows.
  @Test(arguments: [
    "formats/cut.png", "formats/interlaced_2_8.png", "formats/rgb16.png", "formats/420_odd.jpg",
    "formats/progressive_420.jpg", "formats/cmyk.jpg", "formats/grey16.png",
  ])
  func survivesTruncation(_ name: String) throws {
    let data = [UInt8](try Fixtures.data(name))
    let whole = try RGBImage(decoding: data, name: name)
    var (refused, kept) = (0, 0)
    for length in stride(from: 0, to: data.count, by: max(1, data.count / 400)) {
      if let image = try? RGBImage(decoding: Array(data[..<length]), name: name) {
        kept += 1
        #expect(image.width == whole.width && image.height == whole.height)
      } else {
        refused += 1
      }
    }
    #expect(refused > 0 && kept > 0, "\(name): \(refused) refused, \(kept) kept")
    #expect(failure(Array(data[..<(data.count / 20)])) != nil)
  }

  @Test func cutRowsEqualTheWholePictures() throws {
    let data = [UInt8](try Fixtures.data("golden/a.png"))
    let whole = try RGBImage(decoding: data, name: "a.png")
    let cut = try RGBImage(decoding: Array(data[..<(data.count / 2)]), name: "a.png")
    let row = whole.width * 3
    let equal = (0..<whole.height).prefix {
      whole.pixels[$0 * row..<($0 + 1) * row] == cut.pixels[$0 * row..<($0 + 1) * row]
    }
    #expect(equal.count > whole.height / 4 && equal.count < whole.height)
    #expect(cut.pixels[(equal.count * row)...].allSatisfy { $0 == 0 })
  }

  /// Changed bytes give a picture or an error, never a crash, and no size beyond the limits.
  @Test(arguments: [
    "formats/420_odd.jpg", "formats/progressive_420.jpg", "formats/cmyk.jpg",
    "formats/restarts.jpg",
    "formats/palette4_transparent.png", "formats/interlaced_6_16.png", "formats/grey16.png",
  ])
  func survivesChangedBytes(_ name: String) throws {
    let data = [UInt8](try Fixtures.data(name))
    var state: UInt64 = 1
    func random(below bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int(state >> 33) % bound
    }
    var refused = 0
    for _ in 0..<300 {
      var changed = data
      for _ in 0...random(below: 6) {
        changed[random(below: data.count)] = UInt8(random(below: 256))
      }
      do {
        let image = try RGBImage(decoding: changed, name: name)
        #expect(image.width <= 65500 && image.height <= 65500)
      } catch {
        refused += 1
      }
    }
    #expect(refused > 0)
  }

  private func failure(_ bytes: [UInt8]) -> String? {
    do {
      _ = try RGBImage(decoding: bytes, name: "x.png")
      return nil
    } catch {
      return (error as? ImageError)?.description
    }
  }

  /// A PNG signature and header chunk, RGB8.
  private func header(width: Int, height: Int) -> [UInt8] {
    func word(_ value: Int) -> [UInt8] {
      [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
    let body = Array("IHDR".utf8) + word(width) + word(height) + [8, 2, 0, 0, 0]
    var sum: UInt32 = ~0
    for byte in body {
      sum ^= UInt32(byte)
      for _ in 0..<8 { sum = sum & 1 == 1 ? sum >> 1 ^ 0xEDB8_8320 : sum >> 1 }
    }
    return [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A] + word(13) + body + word(Int(~sum))
  }
}
