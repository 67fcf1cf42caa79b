import Foundation

/// Whether an answer to an open question of MMMU contains what it should.
///
/// Source: MMMU's `eval/eval_utils.py`, `parse_open_response` and `eval_open`.
package struct OpenAnswer: Sendable {
  /// What a phrase or a reference comes to: a number rounded to hundredths, or lower-case text.
  private enum Term: Hashable {
    case number(Double)
    case text(String)
  }

  private let terms: [Term]

  package init(_ answer: String) {
    let phrases = Self.phrases(of: answer)
    terms = (phrases + phrases.flatMap(Self.numbers)).flatMap(Self.terms)
  }

  /// - Parameter references: any of them makes the answer right.
  package func matches(_ references: [String]) -> Bool {
    let references = references.flatMap(Self.terms)
    return terms.contains { term in
      switch term {
      case .number: references.contains(term)
      case .text(let text):
        references.contains {
          if case .text(let reference) = $0 { text.pythonContains(reference) } else { false }
        }
      }
    }
  }

  private static let indicators = [
    "could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ",
  ]
  private static let marks: Set = [":", ",", ".", "!", "?", ";", "'"]

  /// For each line the shortest tail after a word that announces an answer; the last line may be an
  /// equation. The script also means to part sentences, but looks for capitals after lower-casing.
  private static func phrases(of answer: String) -> [String] {
    let response = answer.pythonStripped().pythonStripped { $0 == "." }.lowercased()
    let lines = response.pythonSplit("\n")
    let phrases = lines.indices.compactMap { index -> String? in
      let equation = index == lines.count - 1 ? ["="] : []
      var shortest = ""
      for indicator in indicators + equation where lines[index].pythonContains(indicator) {
        let tail = lines[index].pythonSplit(indicator).last!.pythonStripped()
        if shortest.isEmpty || tail.unicodeScalars.count < shortest.unicodeScalars.count {
          shortest = tail
        }
      }
      return shortest.isEmpty || marks.contains(shortest) ? nil : shortest
    }
    return phrases.isEmpty ? [response] : phrases
  }

  /// Numbers with commas, then scientific, then simple ones. These patterns need Python's word
  /// boundaries, which ICU has.
  private static let numberPatterns = [
    #"-?\b\d{1,3}(?:,\d{3})+\b"#, #"-?\d+(?:\.\d+)?[eE][+-]?\d+"#,
    #"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"#,
  ].map { try! NSRegularExpression(pattern: $0) }

  private static func numbers(in phrase: String) -> [String] {
    let text = phrase as NSString
    return numberPatterns.flatMap { pattern in
      pattern.matches(in: phrase, range: NSRange(location: 0, length: text.length))
        .map { text.substring(with: $0.range) }
    }
  }

  private static func terms(_ text: String) -> [Term] {
    let text = text.pythonStripped()
    if let number = text.pythonReplacing(",", with: "").pythonFloat {
      // Rounds as `round(number, 2)`: the decimal digits of the number itself, not of its hundredfold.
      return [.number(Double(String(format: "%.2f", number)) ?? number)]
    }
    let lower = text.lowercased()
    // A single letter would occur in anything.
    return lower.unicodeScalars.count == 1
      ? [.text(" " + lower), .text(lower + " ")] : [.text(lower)]
  }
}
