import Foundation

/// What can be wrong with a checkpoint, or with the place one is written to.
///
/// Every description names the file, the tensor if there is one, what was expected and what was
/// found, and what to do about it.
public enum CheckpointError: Error, Sendable, Hashable {
  /// The file or folder cannot be opened or is not of the right kind.
  case unreadable(path: String, cause: String)
  /// The content contradicts the format; `tensor` is nil where no single tensor is to blame.
  case malformed(path: String, tensor: String?, problem: String)
  /// The model needs a tensor that the checkpoint does not have.
  case missingTensor(path: String, tensor: String)
  case wrongShape(path: String, tensor: String, expected: Shape, found: Shape)
  /// A parameter is stored as something that is not a floating-point type of ours.
  case wrongType(path: String, tensor: String, found: String)
  /// The checkpoint has tensors that the model has no place for.
  case unexpectedTensors(path: String, tensors: [String])
  /// A system call that writes failed with this `errno`.
  case unwritable(path: String, code: Int32)
  /// The target of a write is in the way: a file, or a folder with content of somebody else's.
  case occupied(path: String, found: String)
  /// The new folder is in place, but the old one, moved aside, could not be removed.
  case leftover(path: String, replacedBy: String)
}

extension CheckpointError: CustomStringConvertible, LocalizedError {
  public var errorDescription: String? { description }

  public var description: String {
    switch self {
    case .unreadable(let path, let cause):
      "\(path): cannot be read: \(cause). Check the path."
    case .malformed(let path, let tensor, let problem):
      "\(path): \(tensor.map { "tensor \(quoted($0)): " } ?? "")\(problem). "
        + "The file is damaged or incomplete; fetch or write it again."
    case .missingTensor(let path, let tensor):
      "\(path): the model needs tensor \(quoted(tensor)), which is not there. "
        + "Check that the checkpoint belongs to its config.json."
    case .wrongShape(let path, let tensor, let expected, let found):
      "\(path): tensor \(quoted(tensor)): expected shape \(expected), found \(found). "
        + "Check that the checkpoint belongs to its config.json."
    case .wrongType(let path, let tensor, let found):
      "\(path): tensor \(quoted(tensor)): expected F32, BF16 or F16, found \(found). "
        + "Convert the checkpoint to one of these."
    case .unexpectedTensors(let path, let tensors):
      "\(path): no place in the model for \(tensors.count) tensor(s): "
        + tensors.prefix(5).map(quoted).joined(separator: ", ")
        + (tensors.count > 5 ? ", …" : "")
        + ". Check that the checkpoint belongs to its config.json."
    case .unwritable(let path, let code):
      "\(path): cannot be written: \(String(cString: strerror(code))). \(advice(code))"
    case .occupied(let path, let found):
      "\(path): expected nothing, an empty folder or a folder that may be replaced, found \(found). "
        + "Choose another output, or move it away."
    case .leftover(let path, let replacedBy):
      "\(replacedBy): written, but what was there before could not be removed. Remove \(path)."
    }
  }
}

/// A name of unknown origin, fit for a terminal: control characters escaped, length bounded.
package func quoted(_ name: String) -> String {
  let shown = String(name.unicodeScalars.prefix(200))
  return (shown.unicodeScalars.count < name.unicodeScalars.count ? shown + "…" : shown)
    .debugDescription
}

private func advice(_ code: Int32) -> String {
  switch code {
  case ENOSPC, EDQUOT, EFBIG: "Free some space, or choose another output."
  case EACCES, EPERM, EROFS: "Choose an output that you may write."
  case ENOENT, ENOTDIR: "Create its parent folder first."
  default: "Choose another output."
  }
}
