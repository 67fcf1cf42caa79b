/// Two questions about one picture, to be answered by yes and by no.
struct ShapeProbe {
  let yes: String
  let no: String

  /// Asks for two things by their names.
  fileprivate init(_ present: String, _ absent: String) {
    (yes, no) = ("Is there a \(present)?", "Is there a \(absent)?")
  }
}

extension ShapeQuestions {
  /// How the thing is chosen that is not there, in POPE's words.
  enum AbsentThing: String, CaseIterable {
    /// Any colour and kind.
    case random
    /// A kind alone, which is what pictures have most often.
    case popular
    /// Of the colour or the kind of something that is there.
    case adversarial
  }

  mutating func probe(_ category: AbsentThing) -> ShapeProbe {
    switch category {
    case .random:
      let there = shapeNames(true)
      let names = ShapeScene.Colour.allCases.flatMap { colour in
        ShapeScene.Kind.allCases.map { "\(colour.rawValue) \($0.rawValue)" }
      }
      return ShapeProbe(generator.pick(there), generator.pick(names.filter { !there.contains($0) }))
    case .popular:
      return ShapeProbe(generator.pick(kindNames(true)), generator.pick(kindNames(false)))
    case .adversarial:
      return ShapeProbe(generator.pick(shapeNames(true)), generator.pick(shapeNames(false)))
    }
  }

  /// A shape that is there, and its kind in a colour that is not.
  mutating func colourProbe() -> ShapeProbe {
    let shape = generator.pick(scene.shapes)
    let there = shapeNames(true)
    let others = ShapeScene.Colour.allCases.map { "\($0.rawValue) \(shape.kind.rawValue)" }
    return ShapeProbe(shape.name, generator.pick(others.filter { !there.contains($0) }))
  }

  /// The digit or letter that is written; nil when nothing is.
  func signProbe() -> ShapeProbe? {
    scene.sign.map {
      $0.glyph.isDigit ? ShapeProbe("digit", "letter") : ShapeProbe("letter", "digit")
    }
  }

  /// Both questions about what is written; none when nothing is.
  func readings() -> [ShapeTurn] {
    guard let glyph = scene.sign?.glyph else { return [] }
    return ["What is written?", "Which \(glyph.species) is shown?"].map {
      ShapeTurn(question: $0, answer: String(glyph.character), ability: .reading)
    }
  }
}
