/// Why a benchmark cannot be asked, scored or written.
public enum EvaluationError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A file that a benchmark needs is not there.
  case missing(path: String, role: String, option: String)
  case unreadable(path: String, reason: String)
  /// A file is not of the shape that the benchmark's authors give it.
  case malformed(path: String, place: String, expected: String)
  /// Answers do not belong to the questions or settings at hand.
  case mismatch(path: String, reason: String)
  /// Shards do not make a whole.
  case incomplete(folder: String, reason: String)
  case unwritable(path: String, reason: String)

  /// The file, what is wrong, and what to do.
  public var description: String {
    switch self {
    case .missing(let path, let role, let option):
      "\(path): there is no \(role) here; give it with \(option)"
    case .unreadable(let path, let reason): "\(path): cannot be read: \(reason)"
    case .malformed(let path, let place, let expected):
      "\(path): \(place): expected \(expected)"
    case .mismatch(let path, let reason): "\(path): \(reason)"
    case .incomplete(let folder, let reason): "\(folder): cannot be merged: \(reason)"
    case .unwritable(let path, let reason): "\(path): cannot be written: \(reason)"
    }
  }

  /// Whether the result could not be written, rather than the input read.
  public var isAboutOutput: Bool {
    if case .unwritable = self { true } else { false }
  }
}
