import Foundation
import MaTVLMCore
import MaTVLMTensor

/// `cases.json`: what PyTorch computed with the golden models.
package struct GoldenCases: Decodable, Sendable {
  package struct Sample: Decodable, Sendable {
    package let image: String?
    package let prompt: String
    package let ids: [Int]
    package let labels: [Int]
  }

  /// The losses of one sample at one temperature.
  package struct Losses: Decodable, Sendable {
    package let kl, layer, ce, reverse, jensenShannon, teacherCe: Double
  }

  package struct SampleLosses: Decodable, Sendable {
    package let cold, hot: Losses

    enum CodingKeys: String, CodingKey {
      case cold = "temperature 1"
      case hot = "temperature 2"
    }
  }

  package struct Answer: Decodable, Sendable {
    package let ids: [Int]
    package let text: String
  }

  package struct Prompt: Decodable, Sendable {
    package let image: String?
    package let question: String
    package let promptIds: [Int]
    package let teacher, student: Answer
  }

  package struct Trajectory: Decodable, Sendable {
    package struct Step: Decodable, Sendable {
      package let lr, gradientNorm, kl, layer, ce: Double
    }
    package let weights: [String: Float]
    package let accumulate: Int
    package let lr: Double
    package let warmup, decay: Int
    package let temperature: Float?
    package let steps: [Step]
  }

  package let samples: [Sample]
  package let losses: [SampleLosses]
  package let generations: [Prompt]
  package let trajectory, trajectoryAllTerms: Trajectory

  package static func read() throws -> GoldenCases {
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(
      GoldenCases.self, from: Data(contentsOf: Golden.folder.appending(path: "cases.json")))
  }
}

/// The golden models and pictures.
package enum GoldenModels {
  /// The folders of the student: the same numbers in three types.
  package static let students = ["student", "student-bf16", "student-f16"]

  package static func folder(_ name: String) -> URL { Golden.folder.appending(path: name) }

  package static func load(_ name: String, on device: Device = .cpu) throws -> VisionLanguageModel {
    try .load(folder(name), on: device)
  }

  package static func picture(_ name: String) throws -> RGBImage {
    try RGBImage(contentsOf: folder("images/\(name)"))
  }

  /// A picture that PIL decoded and resized, so that no decoder comes between.
  package static func resizedPicture(_ name: String) throws -> RGBImage {
    let images = try Golden.tensors("images.safetensors")
    let shape = try images.shape("\(name).square")
    return RGBImage(width: shape[1], height: shape[0], pixels: try images.bytes("\(name).square"))
  }

  /// The eight golden samples, from their files.
  package static func data() throws -> LLaVADataset {
    try LLaVADataset(file: folder("data.json"), imageFolder: folder("images"))
  }

  /// Golden samples with resized pictures, packed into one batch.
  package static func batch(
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
