import MaTVLMCore
import MaTVLMTensor

extension GoldenComparison {
  /// Greedy answers, each prompt by itself, streamed.
  package mutating func compareAnswers(_ folder: String) throws {
    let model = try load(folder)
    for prompt in cases.generations {
      let request = try request(prompt, model)
      var streamed = ""
      let answer = try model.generate(request) {
        streamed += $0
        return true
      }
      let name = "\(folder), \(prompt.question)"
      expect(streamed == answer.text, name, "streamed \(streamed), answered \(answer.text)")
      expect(answer.promptIDs == prompt.promptIds, name, "the prompt is \(answer.promptIDs)")
      let end: Generation.End = answer.ids.last == 0 ? .endToken : .maximumTokens
      expect(answer.end == end, name, "it ended by \(answer.end)")
      compare(name, answer, prompt.answer(of: folder), to: request, by: model)
    }
  }

  /// All prompts together, of unequal lengths.
  package mutating func compareAnswersTogether(_ folder: String) throws {
    let model = try load(folder)
    let requests = try cases.generations.map { try request($0, model) }
    let answers = try model.generate(requests) { _, _ in true }
    for ((prompt, request), answer) in zip(zip(cases.generations, requests), answers) {
      compare(
        "\(folder), together, \(prompt.question)", answer, prompt.answer(of: folder), to: request,
        by: model)
    }
  }

  mutating func compare(
    _ name: String, _ answer: Generation, _ expected: GoldenCases.Answer,
    to request: GenerationRequest, by model: VisionLanguageModel
  ) {
    if bounds.hasExactAnswers {
      expect(answer.ids == expected.ids, name, "\(answer.ids), expected \(expected.ids)")
      expect(answer.text == expected.text, name, "\(answer.text), expected \(expected.text)")
    } else {
      // Where two tokens are about as likely, either may come: PyTorch's tokens must be likely to this
      // device, and its own be likely to itself when it reads them as a prompt.
      for (whose, ids) in [("PyTorch's", expected.ids), ("its own", answer.ids)] {
        let unlikely = unlikelyToken(in: ids, after: request, by: model)
        expect(unlikely == nil, name, "\(whose) token \(unlikely ?? 0) of \(ids) is unlikely")
      }
    }
  }

  /// The place of the first token of an answer whose logit is below the largest one by more than the
  /// errors of both: four times the bound, since it is of the mean.
  private func unlikelyToken(
    in answer: [Int], after request: GenerationRequest, by model: VisionLanguageModel
  ) -> Int? {
    let logits = model.logits(
      [request.promptIDs + answer.dropLast()], pictures: request.pictures)
    let (width, values) = (logits.shape.width, logits.array())
    return answer.indices.first { index in
      let start = (logits.shape.rows - answer.count + index) * width
      let row = values[start..<start + width]
      let size = (row.reduce(0) { $0 + Double($1) * Double($1) } / Double(width)).squareRoot()
      let gap = Double(row.max()! - row[start + answer[index]])
      return !(gap <= 4 * bounds.rows * size)
    }
  }

  func request(
    _ prompt: GoldenCases.Prompt, _ model: VisionLanguageModel
  ) throws -> GenerationRequest {
    let question = prompt.question.split(separator: "<image>\n").joined()
    var request = GenerationRequest(
      promptIDs: model.promptIDs(question: question, withPicture: prompt.image != nil),
      pictures: try prompt.image.map { [try GoldenModels.picture($0)] } ?? [])
    request.maximumTokens = 24
    return request
  }
}

extension GoldenCases.Prompt {
  fileprivate func answer(of folder: String) -> GoldenCases.Answer {
    folder == "teacher" ? teacher : student
  }
}
