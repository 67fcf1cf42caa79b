import Foundation
import MaTVLMImages
import MaTVLMTensor
import MaTVLMText

/// A data file as a whole cannot be used.
public enum DatasetError: Error, Sendable, Hashable, CustomStringConvertible {
  case unreadable(file: String, reason: String)
  case empty(file: String)
  case noUsableSample(samples: Int)

  public var description: String {
    switch self {
    case .unreadable(let file, let reason):
      "\(file): cannot be read as a LLaVA data file: \(reason)"
    case .empty(let file): "\(file): the list of samples is empty"
    case .noUsableSample(let samples):
      "none of the \(samples) samples can be used; the messages before this one say why"
    }
  }
}

/// A LLaVA data file: a JSON list of `{id, image?, conversations: [{from, value}]}`, pictures named
/// relative to a folder. Pictures are read when a sample is asked for.
public struct LLaVADataset: TrainingData {
  private let entries: [Entry]
  private let folder: ImageFolder
  private let checksum: FileChecksum

  /// - Throws: ``DatasetError`` when the file is not such a list. Samples that are wrong in
  ///   themselves throw when they are asked for.
  public init(file: URL, imageFolder: URL) throws {
    let data: Data
    do {
      data = try Data(contentsOf: file, options: .mappedIfSafe)
    } catch {
      throw DatasetError.unreadable(file: file.path, reason: "the file is missing or closed")
    }
    do {
      entries = try JSONDecoder().decode([Entry].self, from: data)
    } catch {
      throw DatasetError.unreadable(file: file.path, reason: "it is not a JSON list of objects")
    }
    guard !entries.isEmpty else { throw DatasetError.empty(file: file.path) }
    folder = ImageFolder(imageFolder)
    checksum = FileChecksum(of: data)
  }

  public var count: Int { entries.count }

  /// The data file's content, and the size of every picture: opening hundreds of thousands of them
  /// would take longer than anyone waits.
  public var identity: String {
    var sizes = CRC32C()
    for entry in entries {
      guard let image = try? entry.content.get().image else { continue }
      withUnsafeBytes(of: Int64(folder.byteCount(image) ?? -1).littleEndian) { sizes.update($0) }
    }
    return "\(checksum), sizes of pictures " + String(format: "%08x", sizes.value)
  }

  public var hasPictures: Bool {
    entries.contains { (try? $0.content.get().image).flatMap { $0 } != nil }
  }

  public func sample(_ index: Int) throws -> TrainingSample {
    let id = entries[index].id ?? "number \(index)"
    do {
      let content = try entries[index].content.get()
      return TrainingSample(
        id: id, turns: try [Turn](messages: content.conversations),
        picture: try content.image.map { try folder.image($0) })
    } catch {
      throw SampleError(id: id, reason: "\(error)")
    }
  }

  /// One object of the list; what is wrong with it is kept, so that others can be used.
  private struct Entry: Decodable, Sendable {
    let id: String?
    let content: Result<Content, SampleError>

    struct Content: Decodable, Sendable {
      let image: String?
      let conversations: [Message]
    }

    private enum Key: CodingKey { case id }

    init(from decoder: Decoder) throws {
      let keys = try decoder.container(keyedBy: Key.self)
      let id =
        (try? keys.decode(String.self, forKey: .id))
        ?? (try? keys.decode(Int.self, forKey: .id)).map(String.init)
      self.id = id
      do {
        content = .success(try Content(from: decoder))
      } catch {
        content = .failure(
          SampleError(id: id ?? "", reason: "needs conversations, a list of {from, value}"))
      }
    }
  }
}
