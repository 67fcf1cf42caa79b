import Foundation

/// Usual names of a benchmark's files, relative to its folder; the first that exists counts.
public struct BenchmarkLayout: Sendable, Hashable {
  /// The question file.
  public let questions: [String]
  /// Empty: pictures are in the question file.
  public let images: [String]
  /// A file, or a folder of several. Empty: the right answers are not given out, or are in the
  /// question file.
  public let annotations: [String]

  init(questions: [String], images: [String] = [], annotations: [String] = []) {
    (self.questions, self.images, self.annotations) = (questions, images, annotations)
  }
}

/// Where a user's files of one benchmark are.
public struct BenchmarkFiles: Sendable {
  /// The benchmark's own.
  public var folder: URL
  /// In place of what the layout says.
  public var questionFile: URL?
  /// In place of what the layout says.
  public var imageFolder: URL?
  /// In place of what the layout says; a file or a folder, as there.
  public var annotationPath: URL?
  private let layout: BenchmarkLayout

  /// The files of `folder` by their usual names.
  public init(_ folder: URL, _ layout: BenchmarkLayout) {
    (self.folder, self.layout) = (folder, layout)
  }

  /// - Throws: ``EvaluationError/missing(path:role:option:)``, as the next ones.
  package var questions: URL {
    get throws {
      try found(questionFile, layout.questions, role: "question file", option: "--questions")
    }
  }

  /// nil for a benchmark whose pictures are in its question file.
  package var images: URL? {
    get throws {
      if imageFolder == nil, layout.images.isEmpty { return nil }
      return try found(imageFolder, layout.images, role: "image folder", option: "--images")
    }
  }

  /// The folder of the pictures that `questions` name; nil when they name none.
  /// - Throws: ``EvaluationError/missing(path:role:option:)``.
  public func imagesIfNeeded(by questions: [Question]) throws -> URL? {
    let isNeeded = questions.contains { if case .file = $0.picture { true } else { false } }
    return isNeeded ? try images : nil
  }

  var annotations: URL {
    get throws {
      try found(
        annotationPath, layout.annotations, role: "annotation file", option: "--annotations")
    }
  }

  /// nil when the right answers are not here and were not asked for.
  var annotationsIfAny: URL? {
    get throws {
      annotationPath == nil ? first(layout.annotations) : try annotations
    }
  }

  private func found(_ given: URL?, _ usual: [String], role: String, option: String) throws -> URL {
    if let given {
      guard FileManager.default.fileExists(atPath: given.path) else {
        throw EvaluationError.missing(path: given.path, role: role, option: option)
      }
      return given
    }
    guard let found = first(usual) else {
      let names = usual.map { folder.appendingPathComponent($0).path }
      throw EvaluationError.missing(
        path: names.joined(separator: " or "), role: role, option: option)
    }
    return found
  }

  private func first(_ names: [String]) -> URL? {
    names.map(folder.appendingPathComponent)
      .first { FileManager.default.fileExists(atPath: $0.path) }
  }
}
