import Foundation

/// The package's files are not where the program looks for them.
public struct ShapesResourceError: Error, Sendable, CustomStringConvertible {
  public let path: String

  public var description: String {
    "\(path): the files that come with the program are not there; "
      + "keep MaTVLM_MaTVLMShapes.resources beside the program, or name a model folder"
  }
}

/// Files that come with this module.
public enum ShapesResources {
  /// A folder of the module's resources, which the package manager puts beside the program.
  /// - Throws: ``ShapesResourceError`` when it is not there.
  public static func folder(_ name: String) throws -> URL {
    // Not `Bundle.module`, which ends the program when the files are missing.
    let folder = Bundle.main.bundleURL
      .appendingPathComponent("MaTVLM_MaTVLMShapes.resources").appendingPathComponent(name)
    guard FileManager.default.fileExists(atPath: folder.path) else {
      throw ShapesResourceError(path: folder.path)
    }
    return folder
  }
}
