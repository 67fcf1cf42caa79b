import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport

/// `cases.json`: what PyTorch computed with the golden models.
struct GoldenCases: Decodable, Sendable {
  struct Sample: Decodable, Sendable {
    let image: String?
    let prompt: String
    let ids: [Int]
    let labels: [Int]
  }

  /// The losses of one sample at one temperature.
  struct Losses: Decodable, Sendable {
    let kl, layer, ce, reverse, jensenShannon, teacherCe: Double
  }

  struct SampleLosses: Decodable, Sendable {
    let cold, hot: Losses

    enum CodingKeys: String, CodingKey {
      case cold = "temperature 1"
      case hot = "temperature 2"
    }
  }

  struct Answer: Decodable, Sendable {
    let ids: [Int]
    let text: String
  }

  struct Prompt: Decodable, Sendable {
    let image: String?
    let question: String
    let promptIds: [Int]
    let teacher, student: Answer
  }

  struct Trajectory: Decodable, Sendable {
    struct Step: Decodable, Sendable {
      let lr, gradientNorm, kl, layer, ce: Double
    }
    let weights: [String: Float]
    let accumulate: Int
    let lr: Double
    let warmup, decay: Int
    let temperature: Float?
    let steps: [Step]
  }

  let ssmLayers: [Int]
  let samples: [Sample]
  let losses: [SampleLosses]
  let generations: [Prompt]
  let trajectory, trajectoryAllTerms: Trajectory

  static func read() throws -> GoldenCases {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      GoldenCases.self, from: Data(contentsOf: Golden.folder.appending(path: "cases.json")))
  }
}

/// The golden models and pictures.
enum GoldenModels {
  /// The folders of the student: the same numbers in three types.
  static let students = ["student", "student-bf16", "student-f16"]

  static func folder(_ name: String) -> URL { Golden.folder.appending(path: name) }

  static func load(_ name: String, on device: Device = .cpu) throws -> VisionLanguageModel {
    try .load(folder(name), on: device)
  }

  static func picture(_ name: String) throws -> RGBImage {
    try RGBImage(contentsOf: folder("images/\(name)"))
  }

  /// A picture that PIL decoded and resized, so that no decoder comes between.
  static func resizedPicture(_ name: String) throws -> RGBImage {
    let images = try Golden.tensors("images.safetensors")
    let shape = try images.shape("\(name).square")
    return RGBImage(width: shape[1], height: shape[0], pixels: try images.bytes("\(name).square"))
  }

  /// The eight golden samples, from their files.
  static func data() throws -> LLaVADataset {
    try LLaVADataset(file: folder("data.json"), imageFolder: folder("images"))
  }

  /// Golden samples with resized pictures, packed into one batch.
  static func batch(
    _ samples: [GoldenCases.Sample], for model: VisionLanguageModel
  ) throws -> Batch {
    Batch(
      spliced: SplicedSequences(
        samples.map(\.ids), labels: samples.map(\.labels),
        tokensPerPicture: model.configuration.vision.tokens),
      pictures: try samples.compactMap { try $0.image.map(resizedPicture) },
      ids: samples.indices.map(String.init))
  }
}
