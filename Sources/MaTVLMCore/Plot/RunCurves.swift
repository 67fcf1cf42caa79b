import Foundation
import MaTVLMTensor

/// A log cannot be drawn.
public enum RunCurvesError: Error, Sendable, Hashable, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  case malformed(file: String, line: Int, reason: String)

  public var description: String {
    switch self {
    case .unreadable(let file, let reason):
      "\(file): cannot be read: \(reason); name the output folder of a run"
    case .malformed(let file, let line, let reason):
      "\(file): line \(line): \(reason)"
    }
  }
}

/// What the log of a run says, as curves over its updates.
public struct RunCurves: Sendable {
  struct Point: Sendable, Hashable {
    let step: Int
    let value: Double
  }

  /// How people tell it from others.
  public let name: String
  /// By the keys of `log.jsonl`; those of `evaluation.jsonl` with `held-out ` before them.
  let curves: [String: [Point]]

  /// Reads a run's output folder. An unfinished run is drawn as far as it is.
  /// - Throws: ``RunCurvesError`` naming the file and the line.
  public init(folder: URL) throws {
    name = folder.standardizedFileURL.lastPathComponent
    var curves = try Self.curves(folder.appending(path: TrainingLog.names[0]))
    let evaluations = folder.appending(path: "evaluation.jsonl")
    if FileManager.default.fileExists(atPath: evaluations.path) {
      for (key, points) in try Self.curves(evaluations) { curves["held-out \(key)"] = points }
    }
    self.curves = curves
  }

  private static func curves(_ file: URL) throws -> [String: [Point]] {
    let data: Data
    do {
      data = try Data(contentsOf: file, options: .mappedIfSafe)
    } catch {
      throw RunCurvesError.unreadable(file: file.path, reason: "there is no such log")
    }
    var curves: [String: [Point]] = [:]
    let lines = data.split(separator: UInt8(ascii: "\n"))
    // A run that is under way, or was killed, may not have finished its last line.
    let whole = data.last == UInt8(ascii: "\n") ? lines[...] : lines.dropLast()
    for (index, line) in whole.enumerated() {
      func malformed(_ reason: String) -> RunCurvesError {
        .malformed(file: file.path, line: index + 1, reason: reason)
      }
      let value: JSONValue
      do {
        value = try line.withUnsafeBytes { bytes throws(JSONProblem) in try JSONValue(strict: bytes)
        }
      } catch {
        throw malformed("\(error)")
      }
      guard case .object(let fields) = value, case .integer(let step)? = fields["step"] else {
        throw malformed("expected an object with a step")
      }
      for (key, field) in fields where key != "step" {
        guard let number = field.double else { continue }
        curves[key, default: []].append(Point(step: step, value: number))
      }
    }
    return curves
  }
}

extension JSONValue {
  fileprivate var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }
}
