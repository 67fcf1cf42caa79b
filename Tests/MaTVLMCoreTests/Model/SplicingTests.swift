import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Pictures among tokens, rows and labels")
struct SplicingTests {
  @Test("one picture: its rows, their sources, and the token that follows each row")
  func one() {
    let spliced = SplicedSequences(
      [[5, -200, 7, 8]], labels: [[-100, -100, 7, 8]], tokensPerPicture: 3)
    #expect(spliced.segments.lengths == [6] && spliced.pictures == 1)
    #expect(spliced.textTokens == [5, 7, 8] && spliced.textRows == [0, 4, 5])
    #expect(spliced.imageSources == [0, 1, 2] && spliced.imageRows == [1, 2, 3])
    // The last image row is followed by 7, and that by 8.
    #expect(spliced.nextTokens == [-100, -100, -100, 7, 8, -100])
  }

  @Test("several sequences: pictures are counted on, labels stay in their sequence")
  func several() {
    let spliced = SplicedSequences(
      [[1, -200, 2, -200], [], [3, 4], [-200]],
      labels: [[9, 9, 2, 9], [], [3, 4], [9]], tokensPerPicture: 2)
    #expect(spliced.segments.lengths == [6, 0, 2, 2] && spliced.pictures == 3)
    #expect(spliced.textTokens == [1, 2, 3, 4] && spliced.textRows == [0, 3, 6, 7])
    #expect(spliced.imageSources == [0, 1, 2, 3, 4, 5])
    #expect(spliced.imageRows == [1, 2, 4, 5, 8, 9])
    // 3 is the first token of its sequence: no row before it may learn it.
    #expect(
      spliced.nextTokens == [-100, -100, 2, -100, -100, -100, 4, -100, -100, -100])
  }

  @Test("text only, with labels, without, and nothing at all")
  func text() {
    let spliced = SplicedSequences([[1, 2, 3]], tokensPerPicture: 4)
    #expect(spliced.textTokens == [1, 2, 3] && spliced.pictures == 0)
    #expect(spliced.imageRows.isEmpty && spliced.nextTokens == [-100, -100, -100])
    let none = SplicedSequences([], tokensPerPicture: 4)
    #expect(none.segments.rows == 0 && none.nextTokens == [])
  }

  @Test(
    "cut before, within and behind a picture",
    arguments: [
      (1, [0], [Int]()), (2, [0, 1], []), (3, [0, 1], [0]), (5, [0, 1], [0, 1, 2]),
      (6, [0, 1, 5], [0, 1, 2]), (9, [0, 1, 5], [0, 1, 2, 3, 4, 5]),
    ])
  func cut(_ limit: Int, _ textRows: [Int], _ sources: [Int]) {
    // 1 2 <3 rows> 3 <3 rows>, then a sequence whose picture must not slip.
    let spliced = SplicedSequences(
      [[1, 2, -200, 3, -200], [4, -200]], labels: [[1, 2, 0, 3, 0], [4, 0]], tokensPerPicture: 3,
      maximumLength: limit)
    let rows = textRows.count + sources.count
    #expect(spliced.segments.lengths[0] == min(9, limit) && rows == min(9, limit))
    #expect(spliced.textRows.filter { $0 < rows } == textRows)
    #expect(spliced.imageSources.filter { $0 < 6 } == sources)
    #expect(spliced.pictures == 3)
    #expect(spliced.segments.lengths[1] == min(4, limit))
    #expect(spliced.textRows.last == rows)
    #expect(spliced.imageSources.filter { $0 >= 6 } == Array([6, 7, 8].prefix(max(0, limit - 1))))
    #expect(spliced.nextTokens[rows - 1] == -100)
  }

  @Test("rows stand where they should, and take gradients from there")
  func rows() throws {
    let source = ParameterSource.fresh(seed: 1)
    let embedding = try Embedding(source["embed"], rows: 10, width: 4)
    let images = Parameter("images", Tensor((0..<24).map(Float.init), [6, 4]))
    images.isTrainable = true
    let table = embedding.weight.value.array()
    let spliced = SplicedSequences(
      [[7, -200], [-200, 2]], tokensPerPicture: 3, maximumLength: 3)
    let y = spliced.rows(embedding, images: images.value)
    let values = images.value.array()
    // The first picture's last row and the second sequence's text are cut off.
    let expected = Array(table[28..<32]) + Array(values[..<8]) + Array(values[12...])
    #expect(spliced.segments.lengths == [3, 3])
    #expect(y.array() == expected)
    let seed = Tensor((0..<24).map { Float(100 + $0) }, [6, 4])
    let gradient = try #require(gradients(of: [(y, seed)])[images])
    let slopes = seed.array()
    let expectedSlopes = Array(slopes[4..<12]) + [0, 0, 0, 0] + Array(slopes[12...])
    #expect(gradient.array() == expectedSlopes)
  }

  @Test("a model that reads short sequences cuts rows, and pictures with their placeholder")
  func shortModel() throws {
    let golden = try Golden.tensors("forward.safetensors")
    let sample = try GoldenCases.read().samples[0]
    let position = try #require(sample.ids.firstIndex(of: -200))
    for limit in [position, position + 5, 61] {
      let folder = try ModelFolder("teacher")
      try folder.set(["tokenizer_model_max_length"], to: .integer(limit))
      let model = try folder.load()
      let batch = Batch(
        [try TrainingExample(GoldenModels.data().sample(0), for: model)], for: model)
      #expect(batch.pictures.count == (limit > position ? 1 : 0))
      let images = batch.pictures.isEmpty ? nil : model.imageRows(batch.pictures)
      let rows = batch.spliced.rows(model.decoder.embedding, images: images).array()
      let expected = Array(try golden.values("sample0.rows")[..<(limit * 64)])
      #expect(mismatch(rows, expected, relativeL2: 1e-5) == nil, "\(limit)")
    }
  }
}
