/// Prompts of TextVQA: its scorer has to find the question in them again.
package enum TextVQAPrompt {
  /// What the line of OCR tokens begins with.
  static let ocrLine = "Reference OCR token:"

  /// The question, lower-case, of a prompt in one of the four published forms; nil for another form.
  package static func question(in prompt: String) -> String? {
    let lines = prompt.pythonSplit("\n")
    let question: String?
    if prompt.hasPrefix("OCR tokens: ") {
      let rest = prompt.pythonSplit("Question: ").dropFirst().joined(separator: "Question: ")
      let parts = rest.pythonSplit(" Short answer:")
      question = parts.count > 1 ? parts.dropLast().joined(separator: " Short answer:") : nil
    } else if lines.count == 3, prompt.pythonContains(ocrLine) {
      question = prompt.hasPrefix(ocrLine) ? lines[1] : lines[0]
    } else if lines.count == 2 {
      question = lines[0]
    } else {
      question = nil
    }
    return question?.lowercased()
  }
}
