import Foundation
import MaTVLMImages
import Testing

@Suite struct PreparationTests {
  @Test func preparesAsPillow() throws {
    let golden = try Fixtures.goldenPictures()
    let names = golden.keys.filter { $0.hasSuffix(".square") }.map { String($0.dropLast(7)) }
    #expect(names.count == 10)
    for name in names {
      let image = try Fixtures.image("golden/\(name)")
      for ratio in ImageAspectRatio.allCases {
        let prepared = image.prepared(size: 56, aspectRatio: ratio)
        let difference = prepared.largestDifference(from: golden["\(name).\(ratio.rawValue)"]!)
        let allowed = name.hasSuffix(".png") ? 0 : 1
        #expect(try #require(difference, "\(name): size") <= allowed, "\(name) \(ratio)")
      }
    }
  }

  /// From Pillow's own pixels, so that resizing is judged without decoding.
  @Test func resizesToEveryPixel() throws {
    let expected = try Fixtures.Expected.load()
    let source = try #require(expected.decoded["resize.png"]).image
    #expect(expected.resized.count == 11)
    for picture in expected.resized {
      let image = source.resized(width: picture.width, height: picture.height)
      let difference = image.largestDifference(from: picture.image)
      #expect(difference == 0, "\(picture.width) x \(picture.height)")
    }
    let golden = try Fixtures.goldenPictures()
    for (name, decoded) in golden where name.hasSuffix(".pixels") {
      let picture = name.dropLast(7)
      for ratio in ImageAspectRatio.allCases {
        let prepared = decoded.prepared(size: 56, aspectRatio: ratio)
        let difference = prepared.largestDifference(from: golden["\(picture).\(ratio.rawValue)"]!)
        #expect(difference == 0, "\(picture) \(ratio)")
      }
    }
  }

  @Test func sameSizeIsTheSamePicture() throws {
    let image = try Fixtures.image("golden/h.png")
    #expect(image.resized(width: image.width, height: image.height) == image)
  }

  @Test func padsAroundTheMiddle() {
    let image = RGBImage(width: 1, height: 4, pixels: Array(1...12))
    let padded = image.padded()
    #expect(padded.width == 4 && padded.height == 4)
    let grey: [UInt8] = [127, 127, 127]
    #expect(Array(padded.pixels[0..<12]) == grey + [1, 2, 3] + grey + grey)
  }

  @Test func namesTheKeyOfAnUnknownAspectRatio() throws {
    #expect(try ImageAspectRatio(named: "pad") == .pad)
    let error = #expect(throws: ImageError.self) { try ImageAspectRatio(named: "anyres") }
    let text = try #require(error).description
    #expect(text.contains("image_aspect_ratio") && text.contains("anyres"))
  }
}
