import Foundation

/// What can be wrong with a picture, its file, or the way a model wants it.
public enum ImageError: Error, Equatable {
  /// The file cannot be opened or read.
  case unreadable(path: String, reason: String)
  /// The file holds no bytes.
  case empty(path: String)
  /// The bytes are neither JPEG nor PNG.
  case unknownFormat(path: String, found: String)
  /// The bytes are JPEG or PNG by their start, and no picture comes of them.
  case damaged(path: String, format: String, reason: String)
  /// A picture cannot become a PNG.
  case unencodable(reason: String)
  /// A data file names a picture that is not in the image folder.
  case missing(path: String, folder: String)
  /// A data file names a picture outside the image folder.
  case outside(path: String, folder: String, reason: String)
  /// A configuration asks for a preparation that is not built.
  case unsupportedAspectRatio(found: String)
}

extension ImageError: LocalizedError, CustomStringConvertible {
  public var errorDescription: String? { description }

  public var description: String {
    switch self {
    case .unreadable(let path, let reason):
      "\(path): cannot read the picture: \(reason). Check the path and its permissions."
    case .empty(let path):
      "\(path): expected a JPEG or PNG picture, found an empty file. Copy or download it again."
    case .unknownFormat(let path, let found):
      "\(path): expected a JPEG or PNG picture, found \(found). Convert it to PNG, or name another"
        + " file."
    case .damaged(let path, let format, let reason):
      "\(path): the \(format) cannot be decoded: \(reason). Copy or download it again."
    case .unencodable(let reason):
      "cannot encode a PNG: \(reason)."
    case .missing(let path, let folder):
      "\(path): no such picture in the image folder \(folder). Check the folder, or remove the"
        + " sample that names it."
    case .outside(let path, let folder, let reason):
      "\(path): \(reason), outside the image folder \(folder). Put the picture into the folder and"
        + " name it by its path there."
    case .unsupportedAspectRatio(let found):
      "image_aspect_ratio: expected \"square\" or \"pad\", found \"\(found)\". Set it to one of"
        + " these in config.json, as the model was trained."
    }
  }
}
