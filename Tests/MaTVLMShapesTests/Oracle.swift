import MaTVLMShapes

/// Answers a question from the scene by reading its words: knows nothing of how it was made.
/// Returns every answer that could be called right.
struct Oracle {
  let scene: ShapeScene

  func answers(to question: String) -> Set<String> {
    let words = question.dropLast().split(separator: " ").map(String.init)
    switch (words[0], words[1]) {
    case ("Is", "there"): return [things(words[3...]).isEmpty ? "no" : "yes"]
    case ("How", "many"): return [String(things(words[2...]).count)]
    case ("Which", "shape"): return Set(shapes([words[3]]).map(\.kind.rawValue))
    case ("Which", let species): return Set(signs([species]).map { String($0.glyph.character) })
    case ("What", "is") where words[2] == "written":
      return scene.sign.map { [String($0.glyph.character)] } ?? ["nothing"]
    case ("What", "is"): return contents(at: words[4...].joined(separator: " "))
    case ("What", "colour"): return colours(of: Array(words[4...]))
    case ("Where", "is"): return Set(things(words[3...]).map(\.name))
    case ("Describe", "the"): return [caption]
    default: return []
    }
  }

  /// Shapes and signs that the words fit.
  private func things(_ words: ArraySlice<String>) -> [ShapeScene.Cell] {
    let words = words.map { $0.hasSuffix("s") ? String($0.dropLast()) : $0 }
    return shapes(words).map(\.cell) + signs(words).map(\.cell)
  }

  private func shapes(_ words: [String]) -> [ShapeScene.Shape] {
    scene.shapes.filter { shape in
      words.allSatisfy { [shape.kind.rawValue, shape.colour.rawValue, "shape"].contains($0) }
    }
  }

  private func signs(_ words: [String]) -> [ShapeScene.Sign] {
    guard let sign = scene.sign, words == [sign.glyph.species] else { return [] }
    return [sign]
  }

  private func colours(of words: [String]) -> Set<String> {
    let place = words.dropLast().joined(separator: " ")
    let meant = scene.shapes.filter { place == $0.cell.name || words == [$0.kind.rawValue] }
    // Two circles of one colour would have one answer and still leave open which is meant.
    return meant.count == 1 ? [meant[0].colour.rawValue] : []
  }

  private func contents(at place: String) -> Set<String> {
    var found = Set(scene.shapes.filter { $0.cell.name == place }.map { "a \($0.name)" })
    if let sign = scene.sign, sign.cell.name == place { found.insert("a \(sign.glyph.species)") }
    return found.isEmpty ? ["nothing"] : found
  }

  private var caption: String {
    var things = scene.shapes.map { ($0.cell, "a \($0.colour.rawValue) \($0.kind.rawValue)") }
    if let sign = scene.sign { things.append((sign.cell, "a \(sign.glyph.species)")) }
    let names = things.sorted { $0.0 < $1.0 }.map(\.1)
    switch names.count {
    case 1: return names[0]
    case 2: return "\(names[0]) and \(names[1])"
    default: return "\(names.dropLast().joined(separator: ", ")) and \(names.last!)"
    }
  }
}
