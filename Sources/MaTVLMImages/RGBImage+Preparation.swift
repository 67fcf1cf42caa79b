/// How a picture of any shape becomes the square that the vision tower reads: the key
/// `image_aspect_ratio` of `config.json` (TinyLLaVA `tinyllava/data/image_preprocess.py`).
public enum ImageAspectRatio: String, Sendable, CaseIterable {
  /// Stretched to the square.
  case square
  /// Put in the middle of a grey square, then scaled.
  case pad

  /// The aspect ratio that `image_aspect_ratio` names.
  ///
  /// - Throws: ``ImageError/unsupportedAspectRatio(found:)`` for any other (`anyres` needs a
  ///   processor that SigLIP does not have).
  public init(named name: String) throws {
    guard let value = Self(rawValue: name) else {
      throw ImageError.unsupportedAspectRatio(found: name)
    }
    self = value
  }
}

extension RGBImage {
  /// The grey of `pad`: int(255 * 0.5), 0.5 being SigLIP's mean of each channel.
  private static let padding: UInt8 = 127

  /// The picture as the vision tower reads it, `[size, size, 3]`, still 0 to 255.
  ///
  /// - Precondition: `size` is positive.
  public func prepared(size: Int, aspectRatio: ImageAspectRatio) -> RGBImage {
    let source =
      switch aspectRatio {
      case .square: self
      case .pad: padded()
      }
    return source.resized(width: size, height: size)
  }

  /// The picture in the middle of a square of its longer side, (long - short) / 2 from the near
  /// edge, the rest grey 127.
  public func padded() -> RGBImage {
    if width == height { return self }
    let side = max(width, height)
    let (left, top) = ((side - width) / 2, (side - height) / 2)
    var square = [UInt8](repeating: Self.padding, count: side * side * 3)  // [S, S, 3]
    for row in 0..<height {
      let start = ((top + row) * side + left) * 3
      square.replaceSubrange(
        start..<start + width * 3, with: pixels[row * width * 3..<(row + 1) * width * 3])
    }
    return RGBImage(width: side, height: side, pixels: square)
  }
}
