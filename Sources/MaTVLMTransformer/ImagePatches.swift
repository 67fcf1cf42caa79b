import MaTVLMImages
import MaTVLMTensor

/// Pictures as the vision tower reads them: one row of numbers for each patch.
public enum ImagePatches {
  /// Cuts prepared pictures into patches.
  ///
  /// Pixels become (p / 255 − ½) / ½ (SigLIP's processor: factor 1/255, mean and deviation 0.5);
  /// within a row the order is channel, then line, then column, as the weight of the patch
  /// convolution has it.
  ///
  /// - Parameter pictures: each `imageSize` pixels wide and high.
  /// - Returns: [pictures · positions, 3 · patch · patch] in the device's activation type.
  /// - Precondition: the pictures have the size that the tower takes.
  public static func rows(
    of pictures: [RGBImage], _ configuration: VisionConfiguration, on device: Device
  ) -> Tensor {
    let (grid, side) = (configuration.gridSize, configuration.patchSize)
    let width = 3 * side * side
    var values: [Float] = []
    values.reserveCapacity(pictures.count * configuration.positions * width)
    for picture in pictures {
      require(
        picture.width == configuration.imageSize && picture.height == configuration.imageSize,
        "ImagePatches: \(picture.width) × \(picture.height), not \(configuration.imageSize) square")
      for patch in 0..<grid * grid {
        append(
          picture.pixels, of: picture.width, top: patch / grid * side, left: patch % grid * side,
          side, to: &values)
      }
    }
    let rows = Tensor(values, [pictures.count * configuration.positions, width], on: device)
    let type = device.backend.activationType
    return type == .float32 ? rows : device.backend.convert(rows, to: type)
  }

  private static func append(
    _ pixels: [UInt8], of width: Int, top: Int, left: Int, _ side: Int, to values: inout [Float]
  ) {
    for channel in 0..<3 {
      for line in top..<top + side {
        let start = (line * width + left) * 3 + channel
        for index in stride(from: start, to: start + 3 * side, by: 3) {
          values.append((Float(pixels[index]) * (1 / 255) - 0.5) / 0.5)
        }
      }
    }
  }
}
