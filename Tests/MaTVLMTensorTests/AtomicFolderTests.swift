import CMaTVLMKernels
import Dispatch
import Foundation
import MaTVLMTensor
import MaTVLMTestSupport
import Synchronization
import Testing

private struct Interruption: Error {}

private func always(_: URL) -> Bool { true }

@Suite("Folders written whole or not at all")
struct AtomicFolderTests {
  let folder: TemporaryFolder
  init() throws { folder = try TemporaryFolder() }

  private func writeTarget(
    _ text: String, replacing: @escaping (URL) -> Bool = { _ in false }
  ) throws {
    try AtomicFolder.write(to: folder["out"], replacing: replacing) { temporary in
      try FileManager.default.createDirectory(
        at: temporary.appending(path: "sub"), withIntermediateDirectories: false)
      try Data(text.utf8).write(to: temporary.appending(path: "sub/a.txt"))
    }
  }

  private func targetText() throws -> String {
    try String(contentsOf: folder["out/sub/a.txt"], encoding: .utf8)
  }

  @Test func newFolder() throws {
    try writeTarget("one")
    #expect(try targetText() == "one")
    #expect(try folder.content == ["out", "out/sub", "out/sub/a.txt"])
  }

  @Test func emptyFolderIsTaken() throws {
    try FileManager.default.createDirectory(at: folder["out"], withIntermediateDirectories: false)
    try writeTarget("one")
    #expect(try targetText() == "one")
    #expect(try folder.content.count == 3)
  }

  @Test func foreignFolderIsRefused() throws {
    try folder.write("out/mine.txt", Data("mine".utf8))
    let error = #expect(throws: CheckpointError.self) { try writeTarget("one") }
    #expect(error?.description.contains("a folder with 1 other file(s)") == true)
    #expect(try folder.content == ["out", "out/mine.txt"])
  }

  @Test func ownFolderIsReplaced() throws {
    try writeTarget("one")
    try folder.write("out/old.txt", Data())
    try writeTarget("two") { FileManager.default.fileExists(atPath: $0.path + "/old.txt") }
    #expect(try targetText() == "two")
    #expect(try folder.content == ["out", "out/sub", "out/sub/a.txt"])
  }

  @Test func failureLeavesTheOldAndNothingElse() throws {
    try writeTarget("one")
    #expect(throws: Interruption.self) {
      try AtomicFolder.write(to: folder["out"], replacing: always) { temporary in
        try Data("two".utf8).write(to: temporary.appending(path: "b.txt"))
        throw Interruption()
      }
    }
    #expect(try targetText() == "one")
    #expect(try folder.content == ["out", "out/sub", "out/sub/a.txt"])
  }

  @Test func whatIsNotCommittedIsRemoved() throws {
    var pending: AtomicFolder? = try AtomicFolder(at: folder["out"])
    #expect(try folder.content.count == 1)
    _ = pending
    pending = nil
    #expect(try folder.content.isEmpty)
  }

  @Test("What a killed program left goes with the next result; what is somebody's stays")
  func abandoned() throws {
    let kept = [
      ".partial-out-mine/a", ".partial-out-a-12ab/a", ".partial-other-12ab/a", ".partial-out/a",
    ]
    for path in kept + [".partial-out-12ab/sub/a", ".partial-out-7/a"] {
      try folder.write(path, Data())
    }
    let pending = try AtomicFolder(at: folder["out"])
    try writeTarget("one")
    #expect(FileManager.default.fileExists(atPath: pending.temporary.path))
    pending.discard()
    #expect(
      try folder.content.filter { $0.hasSuffix("/a") || $0.hasPrefix(".partial-out-7") }.sorted()
        == kept.sorted())
    #expect(try targetText() == "one")
  }

  @Test("A long name has room for what is beside it")
  func longName() throws {
    let name = String(repeating: "ä", count: 127)  // 254 bytes of 255
    for text in ["one", "two"] {
      try AtomicFolder.write(to: folder[name], replacing: always) {
        try Data(text.utf8).write(to: $0.appending(path: "a"))
      }
      #expect(try String(contentsOf: folder[name + "/a"], encoding: .utf8) == text)
    }
    #expect(try folder.content.count == 2)
  }

  private static func exchange() throws -> Bool {
    let folder = try TemporaryFolder()
    for name in ["one", "other"] { try folder.write("\(name)/a", Data()) }
    return matvlm_exchange(folder["one"].path, folder["other"].path)
  }

  @Test(
    "A folder that is replaced is never missing",
    .enabled(if: (try? exchange()) == true, "needs a file system where two paths can change places")
  )
  func exchanged() throws {
    let target = folder["out"]
    @Sendable func write() throws {
      try AtomicFolder.write(to: target, replacing: always) {
        try Data().write(to: $0.appending(path: "a"))
      }
    }
    try write()
    let isOver = Atomic(false)
    let missing = Atomic(0)
    let replaced = Atomic(0)
    DispatchQueue.concurrentPerform(iterations: 2) { part in
      if part == 0 {
        for _ in 0..<100 where (try? write()) != nil { replaced.add(1, ordering: .relaxed) }
        isOver.store(true, ordering: .relaxed)
      }
      while !isOver.load(ordering: .relaxed) {
        if access(target.path + "/a", F_OK) != 0 { missing.add(1, ordering: .relaxed) }
      }
    }
    #expect(missing.load(ordering: .relaxed) == 0)
    #expect(replaced.load(ordering: .relaxed) == 100)
  }

  @Test func targetThatFillsMeanwhileIsKept() throws {
    let pending = try AtomicFolder(at: folder["out"])
    try folder.write("out/mine.txt", Data("mine".utf8))
    #expect(throws: CheckpointError.self) { try pending.commit() }
    pending.discard()
    #expect(try folder.content == ["out", "out/mine.txt"])
  }

  @Test func missingParent() throws {
    let target = folder["absent/out"]
    let error = #expect(throws: CheckpointError.self) { try AtomicFolder(at: target) }
    #expect(error == .unwritable(path: target.path, code: ENOENT))
    #expect(error?.description.contains("Create its parent folder first") == true)
    #expect(try folder.content.isEmpty)
  }

  @Test func fileInPlaceOfFolder() throws {
    try folder.write("out", Data("x".utf8))
    #expect(throws: CheckpointError.occupied(path: folder["out"].path, found: "a file")) {
      try writeTarget("one")
    }
  }

  @Test func linkStandsForItsFolder() throws {
    try FileManager.default.createDirectory(at: folder["real"], withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(
      at: folder["out"], withDestinationURL: folder["real"])
    try writeTarget("one")
    #expect(try targetText() == "one")
    #expect(try String(contentsOf: folder["real/sub/a.txt"], encoding: .utf8) == "one")
  }

  @Test("an unwritable parent is an error before anything is done")
  func unwritableParent() async {
    await #expect(processExitsWith: .success) {
      let folder = try TemporaryFolder()
      #expect(chmod(folder.url.path, 0o555) == 0)
      if geteuid() == 0 { #expect(seteuid(65534) == 0) }  // root may write anywhere
      let error = #expect(throws: CheckpointError.self) { try AtomicFolder(at: folder["out"]) }
      #expect(error == .unwritable(path: folder["out"].path, code: EACCES))
      if getuid() == 0 { #expect(seteuid(0) == 0) }
    }
  }

  @Test("when space ends the old folder stays and nothing is left beside it")
  func diskFull() async {
    await #expect(processExitsWith: .success) {
      let folder = try TemporaryFolder()
      try folder.write("out/old.txt", Data("old".utf8))
      // No file may grow beyond 64 kB: a disk that is full, for this process only.
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 65536, rlim_max: 65536)
      #if canImport(Glibc)
        #expect(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
      #else
        #expect(setrlimit(RLIMIT_FSIZE, &limit) == 0)
      #endif
      let error = #expect(throws: CheckpointError.self) {
        try AtomicFolder.write(to: folder["out"], replacing: always) { temporary in
          let tensor = Tensor.zeros([100_000])
          try Checkpoint.write([CheckpointTensor("a", tensor)], to: temporary)
        }
      }
      guard case .unwritable(_, EFBIG)? = error else {
        Issue.record("\(String(describing: error))")
        return
      }
      #expect(try folder.content == ["out", "out/old.txt"])
    }
  }

  @Test(
    "a device without space gives the system's reason and a next step",
    .enabled(if: FileManager.default.fileExists(atPath: "/dev/full"), "needs /dev/full"))
  func noSpaceLeft() throws {
    let output = try OutputFile("/dev/full")
    let error = #expect(throws: CheckpointError.self) {
      try Array("text".utf8).withUnsafeBytes(output.write)
    }
    #expect(error == .unwritable(path: "/dev/full", code: ENOSPC))
    #expect(error?.description.contains("Free some space") == true)
  }

  @Test func singleFile() throws {
    try AtomicFile.write(Data("one".utf8), to: folder["a.txt"])
    try AtomicFile.write(Data("two".utf8), to: folder["a.txt"])
    #expect(try String(contentsOf: folder["a.txt"], encoding: .utf8) == "two")
    #expect(try folder.content == ["a.txt"])
    #expect(throws: CheckpointError.unwritable(path: folder["b/c"].path, code: ENOENT)) {
      try AtomicFile.write(Data(), to: folder["b/c"])
    }
  }

  @Test func singleFileThatFailsLeavesTheOld() throws {
    try AtomicFile.write(Data("one".utf8), to: folder["a.txt"])
    #expect(throws: Interruption.self) {
      try AtomicFile.write(to: folder["a.txt"]) { output in
        try Array("two".utf8).withUnsafeBytes(output.write)
        throw Interruption()
      }
    }
    #expect(try String(contentsOf: folder["a.txt"], encoding: .utf8) == "one")
    #expect(try folder.content == ["a.txt"])
  }
}
