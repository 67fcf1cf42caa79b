import MaTVLMTensor

extension VisionLanguageModel {
  /// Multiplications to read a sequence of `rows` rows from the beginning, and make logits of the
  /// last: of matrices, and of queries with the keys and values before them. The recurrence of
  /// Mamba-2 is left out; it is below one in a hundred.
  func multiplications(rows: Int) -> Double {
    let pairs = Double(rows) * Double(rows + 1) / 2
    return decoder.blocks.reduce(Double(decoder.head.weight.shape.count)) { sum, block in
      var attended = 0.0
      if case .attention = block.mixer {
        attended = 2 * pairs * Double(configuration.text.hiddenSize)
      }
      return sum + Double(rows) * Self.elementsOfMatrices(block.parameters) + attended
    }
  }

  /// Multiplications to make decoder rows of a picture.
  var multiplicationsOfPicture: Double {
    let vision = configuration.vision
    let positions = Double(vision.positions)
    return positions * Self.elementsOfMatrices(tower.parameters)
      + 2 * positions * positions * Double(vision.hiddenSize * vision.usedLayers)
      + Double(vision.tokens) * Self.elementsOfMatrices(connector.parameters)
  }

  private static func elementsOfMatrices(_ parameters: [Parameter]) -> Double {
    parameters.map(\.value.shape).filter { $0.dimensions.count > 1 }
      .reduce(0) { $0 + Double($1.count) }
  }
}
