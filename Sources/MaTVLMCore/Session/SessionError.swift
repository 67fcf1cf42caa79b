/// A file that is no conversation of this model, or is in the way of one.
public enum SessionError: Error, Sendable, Hashable, CustomStringConvertible {
  case notASession(path: String)
  case version(path: String, found: String)
  case otherModel(path: String)
  /// The content contradicts itself or the model.
  case malformed(path: String, tensor: String, problem: String)
  /// What is at the place to save to is not a conversation.
  case occupied(path: String)

  public var description: String {
    switch self {
    case .notASession(let path):
      "\(path): is not a saved conversation; name a file that was saved as one"
    case .version(let path, let found):
      "\(path): is a conversation of version \(found), this program reads version "
        + "\(SessionFile.version); save it again with this program"
    case .otherModel(let path):
      "\(path): is a conversation with another model; load it with the model that it was saved with"
    case .malformed(let path, let tensor, let problem):
      "\(path): \(tensor): \(problem). The file is damaged; use another one."
    case .occupied(let path):
      "\(path): exists and is not a saved conversation; choose another name"
    }
  }
}
