import Foundation

/// A folder with libraries that stand for NVIDIA's and for a card, on which everything is zero: kernels
/// do nothing, memory keeps nothing, and one call fails when it is told to. Built by the C compiler that Swift links with.
package struct PretendedCard {
  /// A call that fails, after it was made so often, with a code of the driver.
  package struct Failure: Sendable {
    let call: String
    let calls: Int
    let code: Int

    package init(_ call: String, after calls: Int = 0, code: Int) {
      (self.call, self.calls, self.code) = (call, calls, code)
    }

    package static let outOfMemory = 2
    package static let uncorrectableMemory = 214
    package static let illegalAddress = 700
  }

  package enum Library: String, CaseIterable, Sendable {
    case driver = "libcuda.so.1"
    case compiler = "libnvrtc.so.13"
    case products = "libcublasLt.so.13"
    case collectives = "libnccl.so.2"
  }

  private let folder: TemporaryFolder

  /// What is named as CUDA path.
  package var path: String { folder.url.path }
  /// Where kernels are kept.
  package var cache: URL { folder["cache"] }

  /// What was queued for several streams, a line each; see `pretended_card.c`.
  package var queued: [String] {
    let text = try? String(contentsOf: folder["queued"], encoding: .utf8)
    return text?.split(separator: "\n").map(String.init) ?? []
  }

  /// - Parameters:
  ///   - driver: the CUDA version that the driver has, as a number: 12020 is 12.2.
  ///   - compiler: the major version of NVRTC.
  ///   - memory: bytes of the card.
  ///   - compiling: seconds that a file of kernels takes.
  ///   - libraries: those that are there.
  package init(
    driver: Int = 12990, compiler: Int = 12, memory: Int = 1 << 30, compiling: Double = 0,
    failing failure: Failure? = nil, libraries: [Library] = Library.allCases
  ) throws {
    folder = try TemporaryFolder()
    let constants: [(String, String)] = [
      ("DRIVER_VERSION", "\(driver)"), ("COMPILER_MAJOR", "\(compiler)"),
      ("MEMORY", "\(memory)ull"), ("COMPILING", "\(Int(compiling * 1e6))"),
      ("FAILING_CALL", "\"\(failure?.call ?? "")\""), ("FAILING_AFTER", "\(failure?.calls ?? 0)"),
      ("FAILING_CODE", "\(failure?.code ?? 0)"), ("QUEUED", "\"\(folder["queued"].path)\""),
    ]
    let source = Bundle.module.bundleURL.appending(path: "PretendedCard/pretended_card.c")
    let built = folder["pretended.so"]
    let clang = Process()
    clang.executableURL = URL(filePath: "/usr/bin/env")
    clang.arguments =
      ["clang", "-shared", "-fPIC", "-O1", "-w", "-o", built.path, source.path]
      + constants.map { "-D\($0)=\($1)" }
    try clang.run()
    clang.waitUntilExit()
    guard clang.terminationStatus == 0 else { throw CocoaError(.executableLoad) }
    for library in libraries {
      try FileManager.default.copyItem(at: built, to: folder[library.rawValue])
    }
  }
}
