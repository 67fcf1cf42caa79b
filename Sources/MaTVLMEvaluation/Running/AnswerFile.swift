import Foundation
import MaTVLMImages

/// An answers file that grows. Whatever stops a run, what is there can be gone on from: a line that
/// was cut is dropped, and no question is asked again but those that could not be asked.
final class AnswerFile {
  private let url: URL
  private let handle: FileHandle
  private(set) var ledger: AnswerLedger

  /// Opens the file, or makes it.
  /// - Throws: ``EvaluationError`` when it has other answers, or another process is writing it.
  init(_ url: URL, _ questions: some Collection<Question>) throws {
    self.url = url
    ledger = AnswerLedger(questions)
    let descriptor = open(url.path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
    guard descriptor >= 0 else { throw Self.unwritable(url) }
    handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    // Some file systems know no locks; there nobody can be kept away.
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK else {
      throw EvaluationError.unwritable(path: url.path, reason: "another process is writing it")
    }
    try readEarlier()
  }

  private func readEarlier() throws {
    let data = try InputFile.bytes(of: url)
    let end = data.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? data.startIndex
    for (number, line) in InputFile.lines(data[..<end]) {
      guard let record = try? JSONDecoder().decode(AnswerRecord.self, from: line) else {
        throw EvaluationError.malformed(
          path: url.path, place: "line \(number)",
          expected: "an answer; remove the file, or the line")
      }
      if let problem = ledger.add(record) {
        throw EvaluationError.mismatch(
          path: url.path, reason: "\(problem); choose another --output, or remove the file")
      }
    }
    try write {
      try handle.truncate(atOffset: UInt64(end - data.startIndex))
      try handle.seekToEnd()
    }
  }

  /// Adds lines; they are on the disk when this returns.
  func append(_ records: [AnswerRecord]) throws {
    guard !records.isEmpty else { return }
    for record in records { _ = ledger.add(record) }
    let lines = records.map { $0.line + "\n" }.joined()
    try write {
      try handle.write(contentsOf: Data(lines.utf8))
      try handle.synchronize()
    }
  }

  /// Puts the lines in the order of the questions, where an earlier run left gaps.
  func finish() throws {
    if ledger.isInOrder { return }
    let lines = InputFile.lines(try InputFile.bytes(of: url)).map(\.bytes)
    let feed = Data("\n".utf8)
    try OutputFiles.write(ledger.order.reduce(into: Data()) { $0 += lines[$1] + feed }, to: url)
  }

  private func write(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch {
      throw EvaluationError.unwritable(path: url.path, reason: error.systemReason)
    }
  }

  private static func unwritable(_ url: URL) -> EvaluationError {
    .unwritable(path: url.path, reason: String(cString: strerror(errno)))
  }
}
