import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Logs: lines, rows, and TensorBoard's records")
struct TrainingLogTests {
  private let folder: TemporaryFolder
  private let run: GoldenRun

  init() throws {
    folder = try TemporaryFolder()
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.evaluationInterval) = (4, 2)
    var run = try GoldenRun(configuration, heldOut: try GoldenModels.data())
    try run.run()
    self.run = run
  }

  @Test("log.csv has the numbers of log.jsonl")
  func table() throws {
    let log = try TrainingLog(in: folder.url)
    for event in run.events { try log.append(event) }
    let rows = try text("log.csv").split(separator: "\n").map {
      $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    }
    let lines = try text("log.jsonl").split(separator: "\n").map {
      try JSONDecoder().decode([String: Double].self, from: Data($0.utf8))
    }
    #expect(rows.count == 5 && lines.count == 4)
    #expect(Set(rows[0]) == Set(lines[0].keys).union(["outlier", "skipped"]))
    for (row, line) in zip(rows.dropFirst(), lines) {
      for (name, field) in zip(rows[0], row) where !field.isEmpty {
        #expect(Double(field) == line[name], "\(name)")
      }
    }
  }

  @Test("A log that goes on has every line once, in all its files")
  func continued() throws {
    let (whole, parts) = (folder["whole"], folder["parts"])
    for place in [whole, parts] {
      try FileManager.default.createDirectory(at: place, withIntermediateDirectories: false)
    }
    let log = try TrainingLog(in: whole)
    for event in run.events { try log.append(event) }
    let first = try TrainingLog(in: parts)
    for event in run.events.prefix(1) { try first.append(event) }
    let lengths = try first.synchronize()
    for event in run.events.dropFirst() { try first.append(event) }
    let second = try TrainingLog(in: parts, continuing: lengths)
    #expect(!FileManager.default.fileExists(atPath: parts.path + "/evaluation.jsonl"))
    for event in run.events.dropFirst() { try second.append(event) }
    for name in ["log.jsonl", "log.csv", "evaluation.jsonl"] {
      #expect(try text("whole/\(name)") == text("parts/\(name)"))
    }
  }

  @Test("The held-out accuracy is the part of answers' tokens that the model finds most likely")
  func accuracy() throws {
    let data = try GoldenModels.data()
    let model = try GoldenModels.load("teacher")
    var configuration = TrainingConfiguration()
    (configuration.steps, configuration.batchSize) = (24, 8)
    (configuration.learningRate, configuration.clip) = (1e-2, nil)
    configuration.evaluationInterval = 1
    var trainer = Trainer(pretraining: model, configuration, data: data, heldOut: data)
    var found: Double?
    // Until some of the answers are known, and not all.
    while !trainer.isFinished, !(0.1..<0.9).contains(found ?? 0) {
      try trainer.advance { if case .evaluation(_, let losses) = $0 { found = losses.accuracy } }
    }
    var (right, count) = (0, 0)
    for index in 0..<data.count {
      let example = try TrainingExample(data.sample(index), for: model)
      let batch = Batch([example], for: model)
      let logits = model.logits([example.ids], pictures: batch.pictures)
      let (values, width) = (logits.array(), logits.shape.width)
      for (row, label) in batch.spliced.nextTokens.enumerated() where label >= 0 {
        let scores = Array(values[row * width..<(row + 1) * width])
        right += scores[label] == scores.max() ? 1 : 0
        count += 1
      }
    }
    #expect(right > 0 && right < count, "\(right) of \(count) show nothing")
    #expect(found == Double(right) / Double(count))
    #expect(run.updates.allSatisfy { $0.losses.accuracy == nil })
  }

  @Test("Event files are records with lengths and masked checksums, and hold every number")
  func events() throws {
    let log = try TrainingLog(in: folder.url, events: true)
    for event in run.events { try log.append(event) }
    let records = try records(Data(contentsOf: folder["events.out.tfevents.matvlm"]))
    #expect(records.count == 1 + run.events.count)
    #expect(records[0].range(of: Data("brain.Event:2".utf8)) != nil)
    for (record, update) in zip(
      records.filter { $0.range(of: Data("train/loss".utf8)) != nil }, run.updates)
    {
      // Key of field 2 as a varint, after the nine bytes of the time; the step is below 128.
      let bytes = [UInt8](record)
      #expect(bytes[0] == 0x09 && bytes[9] == 0x10 && Int(bytes[10]) == update.step)
      // Tag, then key of field 2 as four bytes, then the number.
      let tag = try #require(record.range(of: Data("train/loss".utf8)))
      let value = bytes[(tag.upperBound - record.startIndex)...]
      #expect(value.first == 0x15)
      let bits = value.dropFirst().prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      #expect(Float(bitPattern: bits) == Float(update.loss))
    }
  }

  /// The data of each record, whose checksums are computed here bit by bit.
  private func records(_ file: Data) throws -> [Data] {
    var (rest, records) = (file, [Data]())
    while !rest.isEmpty {
      let length = number(rest.prefix(8))
      #expect(number(rest.dropFirst(8).prefix(4)) == masked(rest.prefix(8)))
      let data = rest.dropFirst(12).prefix(Int(length))
      try #require(data.count == Int(length))
      #expect(number(rest.dropFirst(12 + Int(length)).prefix(4)) == masked(data))
      records.append(data)
      rest = rest.dropFirst(16 + Int(length))
    }
    return records
  }

  private func number(_ bytes: Data) -> UInt64 {
    bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private func masked(_ bytes: Data) -> UInt64 {
    var crc = ~UInt32(0)
    for byte in bytes {
      crc ^= UInt32(byte)
      for _ in 0..<8 { crc = crc >> 1 ^ (crc & 1 == 1 ? 0x82F6_3B78 : 0) }
    }
    crc = ~crc
    return UInt64((crc >> 15 | crc << 17) &+ 0xA282_EAD8)
  }

  private func text(_ path: String) throws -> String {
    try String(contentsOf: folder[path], encoding: .utf8)
  }
}
