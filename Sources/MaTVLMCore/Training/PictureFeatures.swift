import MaTVLMImages
import MaTVLMTensor
import Synchronization

/// What a frozen vision tower makes of the pictures of a batch: the connector's input. Each picture is
/// computed by itself, so that its features do not depend, not even in their last bits, on the
/// pictures beside it; then it makes no difference which of them were kept.
struct PictureFeatures: Sendable {
  private let cache: VisionCache?
  /// What tells towers apart, each found once.
  private let towers = Towers()

  private final class Towers: Sendable {
    let names = Mutex<[ObjectIdentifier: String]>([:])
  }

  init(_ cache: VisionCache?) { self.cache = cache }

  /// - Returns: [pictures · tokens, vision D]
  /// - Precondition: there are pictures.
  func callAsFunction(of pictures: [RGBImage], _ model: VisionLanguageModel) -> Tensor {
    let each = pictures.map { features(of: model.prepared($0), model) }  // [tokens, vision D] each
    guard each.count > 1 else { return each[0] }
    let (rows, width) = (each[0].shape.rows, each[0].shape.width)
    let flat = each.map { $0.reshaped([1, rows * width]) }
    return joinColumns(flat).reshaped([each.count * rows, width])
  }

  private func features(of picture: RGBImage, _ model: VisionLanguageModel) -> Tensor {
    guard let cache, model.device.backend.holdsValues else { return model.features([picture]) }
    let configuration = model.configuration.vision
    let entry = VisionCache.Entry(
      picture: picture, tower: name(of: model),
      shape: [configuration.tokens, configuration.hiddenSize],
      type: model.device.backend.activationType)
    return cache.features(entry, on: model.device) { model.features([picture]) }
  }

  private func name(of model: VisionLanguageModel) -> String {
    let parameters = model.tower.parameters
    let known = ObjectIdentifier(parameters[0])
    return towers.names.withLock { names in
      if let name = names[known] { return name }
      let name = model.visionFingerprint
      names[known] = name
      return name
    }
  }
}

extension VisionLanguageModel {
  /// Tells what makes features from what makes others: a checksum of each weight, and everything
  /// that decides how pictures are prepared and computed with.
  fileprivate var visionFingerprint: String {
    var hash = FNV1a()
    hash.add("\(configuration.vision) \(configuration.aspectRatio) \(device)".utf8)
    for parameter in tower.parameters {
      let checksum = parameter.value.array().withUnsafeBytes { CRC32C($0).value }
      hash.add("\(parameter.name) \(parameter.shape) \(checksum)".utf8)
    }
    return String(hash.value, radix: 16)
  }
}
