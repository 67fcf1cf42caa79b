import Foundation

/// Pictures of shapes in the files of four of the paper's benchmarks: POPE, MME, GQA and TextVQA, each
/// in a folder of its name. Questions are those that the small teacher has learned, without the
/// instructions that the benchmarks add, which it has not.
struct ShapeBenchmarks {
  let dataset: ShapeDataset
  /// Pictures.
  let count: Int
  let folder: URL

  func write() throws {
    try writePOPE()
    try writeMME()
    try writeGQA()
    try writeTextVQA()
  }

  /// As `question_id`, `image`, `text` and `category` in LLaVA's files.
  private struct Line: Encodable {
    let questionId: String
    let image: String
    let text: String
    var category = "default"
  }

  private func name(_ index: Int) -> String { ShapeDataset.name(index) + ".png" }

  private func questions(_ index: Int) -> ShapeQuestions {
    ShapeQuestions(about: dataset.scene(index), using: dataset.generator(.benchmarks, index))
  }
}

// MARK: - POPE and MME

extension ShapeBenchmarks {
  private struct Label: Encodable {
    let questionId: String
    let image: String
    let text: String
    let label: String
  }

  private func writePOPE() throws {
    try writePictures("pope/val2014", 0..<count)
    var lines: [Line] = []
    for category in ShapeQuestions.AbsentThing.allCases {
      let labels = (0..<count).flatMap { index -> [Label] in
        var questions = questions(index)
        let probe = questions.probe(category)
        return [(probe.yes, "yes"), (probe.no, "no")].map { text, label in
          let id = "\(category.rawValue)-\(ShapeDataset.name(index))-\(label)"
          return Label(questionId: id, image: name(index), text: text, label: label)
        }
      }
      try write("pope/coco/coco_pope_\(category.rawValue).json", lines: labels)
      lines += labels.map {
        Line(questionId: $0.questionId, image: $0.image, text: $0.text, category: category.rawValue)
      }
    }
    try write("pope/llava_pope_test.jsonl", lines: lines)
  }

  private func writeMME() throws {
    var lines: [Line] = []
    for category in ["existence", "color", "OCR"] {
      for index in 0..<count {
        guard let probe = probe(category, index) else { continue }
        let folder = "mme/MME_Benchmark_release_version/\(category)"
        try writePictures(folder, index..<index + 1)
        try write(
          "\(folder)/\(ShapeDataset.name(index)).txt",
          "\(probe.yes) Please answer yes or no.\tYes\n\(probe.no) Please answer yes or no.\tNo\n")
        let picture = "\(category)/\(name(index))"
        lines += [probe.yes, probe.no].map {
          Line(questionId: picture, image: picture, text: $0, category: category)
        }
      }
    }
    try write("mme/llava_mme.jsonl", lines: lines)
  }

  private func probe(_ category: String, _ index: Int) -> ShapeProbe? {
    var questions = questions(index)
    return switch category {
    case "existence": questions.probe(.popular)
    case "color": questions.colourProbe()
    default: questions.signProbe()
    }
  }
}

// MARK: - GQA and TextVQA

extension ShapeBenchmarks {
  private struct GQAQuestion: Encodable {
    struct Types: Encodable {
      let structural: String
      let semantic: String
    }
    let question: String
    let imageId: String
    let answer: String
    let isBalanced = true
    let types: Types
  }

  /// What the benchmark calls its kinds of questions; it does not count or describe.
  private static let types: [ShapeAbility: GQAQuestion.Types] = [
    .existence: .init(structural: "verify", semantic: "obj"),
    .colour: .init(structural: "query", semantic: "attr"),
    .position: .init(structural: "query", semantic: "rel"),
  ]

  private func writeGQA() throws {
    try writePictures("gqa/data/images", 0..<count)
    var (lines, annotations): ([Line], [String: GQAQuestion]) = ([], [:])
    for index in 0..<count {
      for (number, turn) in dataset.conversation(index).enumerated() {
        guard let types = Self.types[turn.ability] else { continue }
        let id = "\(ShapeDataset.name(index))-\(number)"
        lines.append(Line(questionId: id, image: name(index), text: turn.question))
        annotations[id] = GQAQuestion(
          question: turn.question, imageId: ShapeDataset.name(index), answer: turn.answer,
          types: types)
      }
    }
    try write("gqa/llava_gqa_testdev_balanced.jsonl", lines: lines)
    try write("gqa/data/testdev_balanced_questions.json", json: annotations, Self.encoder())
  }

  private struct TextVQAFile: Encodable {
    struct Question: Encodable {
      let questionId: Int
      let imageId: String
      let question: String
      /// Of ten people.
      let answers: [String]
    }
    let datasetName = "textvqa"
    let data: [Question]
  }

  private func writeTextVQA() throws {
    let pictures = (0..<count).filter { !questions($0).readings().isEmpty }
    for index in pictures { try writePictures("textvqa/train_images", index..<index + 1) }
    let turns = pictures.flatMap { index in questions(index).readings().map { (index, $0) } }
    // The benchmark's questions have an instruction on their last line; here that line is empty.
    let lines = turns.map { index, turn in
      Line(
        questionId: ShapeDataset.name(index), image: name(index), text: "\(turn.question)\n")
    }
    let annotations = turns.enumerated().map { number, pair in
      TextVQAFile.Question(
        questionId: number, imageId: ShapeDataset.name(pair.0), question: pair.1.question,
        answers: Array(repeating: pair.1.answer, count: 10))
    }
    try write("textvqa/llava_textvqa_val_v051_ocr.jsonl", lines: lines)
    try write(
      "textvqa/TextVQA_0.5.1_val.json", json: TextVQAFile(data: annotations),
      Self.encoder(.convertToSnakeCase))
  }
}

// MARK: - Files

extension ShapeBenchmarks {
  private static func encoder(
    _ keys: JSONEncoder.KeyEncodingStrategy = .useDefaultKeys
  ) -> JSONEncoder {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = keys
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return encoder
  }

  private func writePictures(_ path: String, _ indices: Range<Int>) throws {
    for index in indices { try write("\(path)/\(name(index))", dataset.picture(index).pngData()) }
  }

  private func write(_ path: String, lines: [some Encodable]) throws {
    let encoder = Self.encoder(.convertToSnakeCase)
    let text = try lines.map { String(decoding: try encoder.encode($0), as: UTF8.self) + "\n" }
    try write(path, text.joined())
  }

  private func write(_ path: String, json: some Encodable, _ encoder: JSONEncoder) throws {
    try write(path, encoder.encode(json))
  }

  private func write(_ path: String, _ text: String) throws { try write(path, Data(text.utf8)) }

  private func write(_ path: String, _ data: Data) throws {
    let file = folder.appendingPathComponent(path)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try data.write(to: file)
  }
}
