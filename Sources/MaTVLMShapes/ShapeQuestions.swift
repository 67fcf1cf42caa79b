/// What a question about a picture asks for.
public enum ShapeAbility: String, Sendable, Codable, CaseIterable {
  /// Is something there? Yes or no, evenly.
  case existence
  /// How many are there? Nought to three.
  case count
  /// Which colour has a shape, or which shape has a colour?
  case colour
  /// Where is something, or what is somewhere?
  case position
  /// Which digit or letter is shown?
  case reading
  /// What does the picture show, in reading order?
  case caption
}

/// A question and its only right answer.
public struct ShapeTurn: Sendable, Equatable {
  public let question: String
  public let answer: String
  public let ability: ShapeAbility
}

/// Asks questions about one scene. Every question has exactly one right answer.
package struct ShapeQuestions {
  let scene: ShapeScene
  var generator: SplitMix64

  package static let turns = 6

  package init(about scene: ShapeScene, using generator: SplitMix64) {
    self.scene = scene
    self.generator = generator
  }

  /// Different questions in any order: one of each ability; where nothing is written, another
  /// takes the place of reading (or the answer is "nothing"). What comes after six does not ask for
  /// what is written, which a long conversation could otherwise tell from its earlier turns.
  package mutating func conversation(of count: Int = turns) -> [ShapeTurn] {
    var turns: [ShapeTurn] = []
    for ability in ShapeAbility.allCases where ability != .reading || scene.sign != nil {
      turns.append(turn(ability))
    }
    while turns.count < count {
      let others: [ShapeAbility] = [.existence, .count, .colour, .position]
      let extra = turn(generator.pick(turns.count < Self.turns ? others + [.reading] : others))
      if !turns.contains(where: { $0.question == extra.question }) { turns.append(extra) }
    }
    return generator.shuffled(turns)
  }

  /// What is written, asked after `distance` turns that do not say that something is; nil when
  /// nothing is.
  mutating func needle(after distance: Int) -> [ShapeTurn]? {
    guard scene.sign != nil else { return nil }
    let last = turn(.reading)
    var turns: [ShapeTurn] = []
    while turns.count < distance {
      let other = turn(generator.pick([.existence, .count, .colour, .position]))
      let words = other.question + other.answer
      if !words.contains("digit"), !words.contains("letter") { turns.append(other) }
    }
    return turns + [last]
  }

  private mutating func turn(_ ability: ShapeAbility) -> ShapeTurn {
    let (question, answer) =
      switch ability {
      case .existence: existence()
      case .count: count()
      case .colour: colour()
      case .position: position()
      case .reading: reading()
      case .caption: caption()
      }
    return ShapeTurn(question: question, answer: answer, ability: ability)
  }
}

extension ShapeQuestions {
  private typealias Kind = ShapeScene.Kind
  private typealias Colour = ShapeScene.Colour
  private typealias Pair = (question: String, answer: String)

  /// The answer is drawn first, so that the question says nothing about it.
  private mutating func existence() -> Pair {
    if generator.once(in: scene.sign == nil ? 12 : 6) { return signExistence() }
    let isThere = generator.once(in: 2)
    let names = generator.once(in: 3) ? kindNames(isThere) : shapeNames(isThere)
    return ("Is there a \(generator.pick(names))?", isThere ? "yes" : "no")
  }

  /// Half the scenes have a sign, ten in sixteen of them a digit. They are asked twice as often as
  /// the others, whose answer is always no, and three times in four for what it is: so yes and no
  /// come out even for digits and for letters.
  private mutating func signExistence() -> Pair {
    guard let species = scene.sign?.glyph.species else {
      return ("Is there a \(generator.once(in: 4) ? "letter" : "digit")?", "no")
    }
    if generator.once(in: 4) {
      return ("Is there a \(species == "digit" ? "letter" : "digit")?", "no")
    }
    return ("Is there a \(species)?", "yes")
  }

  func kindNames(_ isThere: Bool) -> [String] {
    Kind.allCases.filter { kind in scene.shapes.contains { $0.kind == kind } == isThere }
      .map(\.rawValue)
  }

  /// What is not there shares its colour or its kind with something that is: neither alone tells.
  func shapeNames(_ isThere: Bool) -> [String] {
    let present = Set(scene.shapes.map(\.name))
    if isThere { return present.sorted() }
    let near = scene.shapes.flatMap { shape in
      Kind.allCases.map { "\(shape.colour.rawValue) \($0.rawValue)" }
        + Colour.allCases.map { "\($0.rawValue) \(shape.kind.rawValue)" }
    }
    return Set(near).subtracting(present).sorted()
  }

  /// The number is drawn first. Two and three are not in every scene, so they are tried oftener;
  /// in the end each number is asked for as often as the others.
  private mutating func count() -> Pair {
    var counts = [("shapes", scene.shapes.count)]
    counts += Kind.allCases.map { kind in
      ("\(kind.rawValue)s", scene.shapes.count { $0.kind == kind })
    }
    counts += Colour.allCases.map { colour in
      ("\(colour.rawValue) shapes", scene.shapes.count { $0.colour == colour })
    }
    let wanted = generator.pick([0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3])
    let choices = [wanted, generator.next(below: 2), 0].lazy
      .map { number in counts.filter { $0.1 == number } }
    let (things, number) = generator.pick(choices.first { !$0.isEmpty }!)
    return ("How many \(things)?", String(number))
  }

  private mutating func colour() -> Pair {
    let shape = generator.pick(scene.shapes)
    let isOnlyOfKind = scene.shapes.count { $0.kind == shape.kind } == 1
    let isOnlyOfColour = scene.shapes.count { $0.colour == shape.colour } == 1
    let form = generator.next(below: 6)
    if isOnlyOfColour && form < 2 {
      return ("Which shape is \(shape.colour.rawValue)?", shape.kind.rawValue)
    }
    if isOnlyOfKind && form < 5 {
      return ("What colour is the \(shape.kind.rawValue)?", shape.colour.rawValue)
    }
    return ("What colour is the \(shape.cell.name) shape?", shape.colour.rawValue)
  }

  /// Twice "where", the harder one, for each "what".
  private mutating func position() -> Pair {
    var places = scene.shapes.filter { shape in scene.shapes.count { $0.name == shape.name } == 1 }
      .map { ($0.name, $0.cell.name) }
    if let sign = scene.sign { places.append((sign.glyph.species, sign.cell.name)) }
    if !places.isEmpty && !generator.once(in: 3) {
      let (name, place) = generator.pick(places)
      return ("Where is the \(name)?", place)
    }
    let occupied = scene.shapes.map(\.cell) + (scene.sign.map { [$0.cell] } ?? [])
    let cell = generator.pick(generator.once(in: 4) ? ShapeScene.Cell.all : occupied)
    return ("What is at the \(cell.name)?", scene.contents(of: cell))
  }

  private mutating func reading() -> Pair {
    guard let glyph = scene.sign?.glyph else { return ("What is written?", "nothing") }
    let question =
      generator.once(in: 2) ? "What is written?" : "Which \(glyph.species) is shown?"
    return (question, String(glyph.character))
  }

  /// "a red circle, a blue star and a digit".
  private func caption() -> Pair {
    let names = ShapeScene.Cell.all.map(scene.contents).filter { $0 != "nothing" }
    let list = [names.dropLast().joined(separator: ", "), names.last!].filter { !$0.isEmpty }
    return ("Describe the picture.", list.joined(separator: " and "))
  }
}
