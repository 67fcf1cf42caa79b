import Foundation
import MaTVLMShapes
import MaTVLMTensor
import MaTVLMText

/// The small teacher that comes with the package: its sizes, its tokenizer, and where it lies.
public enum ShapesTeacher {
  /// TinyLLaVA in small: 48-pixel pictures in patches of 8, some two million parameters.
  public static func sizes(vocabulary: Int) -> ModelSizes {
    var sizes = ModelSizes()
    sizes.vocabulary = vocabulary
    (sizes.hidden, sizes.intermediate, sizes.layers, sizes.heads) = (128, 512, 8, 4)
    sizes.rotaryFactor = 0.5
    sizes.endToken = 0
    sizes.maximumLength = 512
    (sizes.vision.hidden, sizes.vision.intermediate) = (96, 384)
    // The last layer of a tower is not computed with.
    (sizes.vision.layers, sizes.vision.heads) = (4, 4)
    (sizes.vision.image, sizes.vision.patch) = (48, 8)
    return sizes
  }

  /// A byte-level tokenizer for the questions and answers about shapes.
  ///
  /// Words of the template and of the questions become one token each; the system sentence, which
  /// begins every prompt, is one added token, so that it costs one row and not thirty.
  ///
  /// - Parameter conversations: from how many conversations the merges are learned.
  public static func tokenizer(_ dataset: ShapeDataset, conversations: Int) throws -> Tokenizer {
    let data = ShapeTrainingData(dataset, count: conversations)
    let template = PromptTemplate.phi
    let texts = (0..<conversations).map { template.trainingText(data.sample($0).turns) }
    let system = PromptTemplate.system.trimmingCharacters(in: .whitespaces)
    return try BytePairTrainer(vocabularySize: 512, addedTokens: [system]).train(on: texts)
  }

  /// A fresh teacher, to be pretrained.
  /// - Parameter seed: draws its weights.
  public static func fresh(seed: UInt64, on device: Device = .cpu) throws -> VisionLanguageModel {
    let tokenizer = try tokenizer(ShapeDataset(split: .train), conversations: 2000)
    return try .fresh(
      sizes(vocabulary: tokenizer.vocabularySize).configuration(), tokenizer: tokenizer, seed: seed,
      on: device)
  }

  /// The folder of the trained teacher.
  /// - Throws: ``ShapesResourceError`` when it does not lie beside the program.
  public static func folder() throws -> URL { try ShapesResources.folder("teacher") }
}
