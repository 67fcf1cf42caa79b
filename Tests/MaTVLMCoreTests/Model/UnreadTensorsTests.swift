import Foundation
import MaTVLMCore
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("The vision tower's last layer, norm and pooling head")
struct UnreadTensorsTests {
  /// Of each tensor that nothing computes with: much against the large pages that files come in.
  private static let unreadBytes = 4 << 20

  /// The golden student with large tensors of no numbers for those that nothing computes with.
  private func folder() throws -> (ModelFolder, unread: Int) {
    let folder = try ModelFolder("student")
    let read = Set(try folder.load().parameters.map(\.name))
    var unread: [String] = []
    try folder.rewriteTensors { tensors in
      tensors.map { tensor in
        guard !read.contains(tensor.name) else { return tensor }
        unread.append(tensor.name)
        let count = Self.unreadBytes / 4
        return CheckpointTensor(
          tensor.name, Tensor(Array(repeating: .nan, count: count), [count]))
      }
    }
    let tower = "vision_tower._vision_tower.vision_model."
    for part in ["encoder.layers.", "post_layernorm.", "head."] {
      #expect(unread.contains { $0.hasPrefix(tower + part) }, "\(part)")
    }
    return (folder, unread.count)
  }

  private func logits(_ model: VisionLanguageModel) throws -> [Float] {
    let sample = try #require(try GoldenCases.read().samples.first { $0.image != nil })
    let picture = try GoldenModels.resizedPicture(try #require(sample.image))
    return model.logits([sample.ids], pictures: [picture]).array()
  }

  @Test("whatever they are, answers are the same")
  func values() throws {
    let (folder, _) = try folder()
    #expect(try logits(folder.load()) == logits(GoldenModels.load("student")))
  }

  #if os(Linux)
    @Test("their bytes are not read: not to load the model, not to answer")
    func pages() throws {
      let (folder, unread) = try folder()
      let model = try folder.load()
      _ = try logits(model)
      let resident = try Self.residentBytes(of: folder.url.appending(path: "model.safetensors"))
      let read = model.parameters.reduce(0) { $0 + $1.value.dtype.byteCount(of: $1.shape) }
      // The system maps up to 2 MiB at once.
      #expect(resident > read / 2)
      #expect(resident < read + unread * Self.unreadBytes / 4)
    }

    /// Bytes of a mapped file that this process has read, or the system thought it would.
    private static func residentBytes(of file: URL) throws -> Int {
      // Read to the end: such a file has no size, and String would take its first page for all.
      let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: "/proc/self/smaps"))
      let maps = String(decoding: try handle.readToEnd() ?? Data(), as: UTF8.self)
      var (isFile, bytes) = (false, 0)
      for line in maps.split(separator: "\n") {
        let words = line.split(separator: " ")
        if words[0].contains("-"), !words[0].hasSuffix(":") {
          isFile = line.hasSuffix(file.resolvingSymlinksInPath().path)
        } else if isFile, words[0] == "Rss:", let kibibytes = Int(words[1]) {
          bytes += kibibytes << 10
        }
      }
      return bytes
    }
  #endif
}
