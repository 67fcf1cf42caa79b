import Foundation
import MaTVLMImages
import Testing

@Suite struct DecodingTests {
  @Test func decodesTheGoldenPictures() throws {
    let golden = try Fixtures.goldenPictures()
    let names = golden.keys.filter { $0.hasSuffix(".pixels") }.map { String($0.dropLast(7)) }
    #expect(names.count == 9)
    for name in names {
      let image = try Fixtures.image("golden/\(name)")
      let difference = image.largestDifference(from: golden["\(name).pixels"]!)
      #expect(try #require(difference, "\(name): size") <= allowed(name), "\(name)")
    }
  }

  @Test func decodesEveryFormatAsPillow() throws {
    let expected = try Fixtures.Expected.load().decoded
    #expect(expected.count >= 45)
    for (name, picture) in expected {
      let image = try Fixtures.image("formats/\(name)")
      let difference = image.largestDifference(from: picture.image)
      #expect(try #require(difference, "\(name): size") <= allowed(name), "\(name)")
    }
  }

  @Test func encodesWhatItDecodesAgain() throws {
    for name in ["golden/a.png", "golden/j.jpg", "formats/interlaced_1x1.png"] {
      let image = try Fixtures.image(name)
      let again = try RGBImage(decoding: image.pngData(), name: name)
      #expect(again.largestDifference(from: image) == 0, "\(name)")
    }
  }

  @Test func manyThreadsDecodeTheSame() async throws {
    let expected = try Fixtures.image("golden/b.jpg")
    let data = try Fixtures.data("golden/b.jpg")
    try await withThrowingTaskGroup(of: RGBImage.self) { group in
      for _ in 0..<16 { group.addTask { try RGBImage(decoding: data, name: "b.jpg") } }
      for try await image in group {
        #expect(image.largestDifference(from: expected) == 0)
      }
    }
  }

  /// PNG is lossless. Two builds of libjpeg-turbo may round one value differently.
  private func allowed(_ name: String) -> Int { name.hasSuffix(".png") ? 0 : 1 }
}
