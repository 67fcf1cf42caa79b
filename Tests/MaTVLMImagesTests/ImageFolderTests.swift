import Foundation
import MaTVLMImages
import Testing

@Suite struct ImageFolderTests {
  /// `root/images/{a.png, deep/b.png, inside → deep/b.png, outside → ../secret.png,
  /// up → ..}` and `root/secret.png`.
  private func withFolder(_ body: (ImageFolder) throws -> Void) throws {
    let files = FileManager.default
    let root = files.temporaryDirectory.appendingPathComponent("folder-\(UUID().uuidString)")
    defer { try? files.removeItem(at: root) }
    let images = root.appendingPathComponent("images")
    try files.createDirectory(
      at: images.appendingPathComponent("deep"), withIntermediateDirectories: true)
    let picture = try Fixtures.data("golden/h.png")
    for path in ["secret.png", "images/a.png", "images/deep/b.png"] {
      try picture.write(to: root.appendingPathComponent(path))
    }
    for (link, target) in [("inside", "deep/b.png"), ("outside", "../secret.png"), ("up", "..")] {
      try files.createSymbolicLink(
        atPath: images.appendingPathComponent(link).path, withDestinationPath: target)
    }
    try body(ImageFolder(images))
  }

  @Test func findsWhatLiesInside() throws {
    try withFolder { folder in
      for path in ["a.png", "./a.png", "deep/b.png", "deep/../a.png", "inside", "deep//b.png"] {
        let image = try folder.image(path)
        #expect(image.width == 17, "\(path)")
      }
      let inside = try folder.resolve("inside")
      #expect(inside.lastPathComponent == "b.png")
    }
  }

  @Test func refusesWhatLiesOutside() throws {
    try withFolder { folder in
      let secret = folder.url.deletingLastPathComponent().appendingPathComponent("secret.png").path
      let paths = [
        "../secret.png", "deep/../../secret.png", "outside", "up/secret.png", secret, "/", "..",
      ]
      for path in paths {
        let error = #expect(throws: ImageError.self, "\(path)") { try folder.resolve(path) }
        guard case .outside = error else {
          Issue.record("\(path): \(String(describing: error))")
          continue
        }
        let text = error!.description
        #expect(text.hasPrefix("\(path): ") && text.contains(folder.url.path), "\(text)")
      }
    }
  }

  @Test func namesWhatIsMissing() throws {
    try withFolder { folder in
      for path in ["none.png", "", ".", "deep/..", "a.png\0.jpg"] {
        #expect(throws: ImageError.missing(path: path, folder: folder.url.path)) {
          try folder.resolve(path)
        }
      }
      #expect(throws: ImageError.self) { try folder.image("deep") }
    }
  }
}
