import Foundation

/// NVRTC: CUDA C to machine code of one card (NVRTC reference, version 12 and 13).
struct RuntimeCompiler: Sendable {
  typealias Status = Int32
  typealias Program = UnsafeMutableRawPointer

  private let create:
    @convention(c) (
      UnsafeMutablePointer<Program?>, UnsafePointer<CChar>, UnsafePointer<CChar>, Int32,
      UnsafeRawPointer?, UnsafeRawPointer?
    ) -> Status
  private let compileProgram:
    @convention(c) (Program?, Int32, UnsafePointer<UnsafePointer<CChar>?>) -> Status
  private let destroy: @convention(c) (UnsafeMutablePointer<Program?>) -> Status
  private typealias Size = @convention(c) (Program?, UnsafeMutablePointer<Int>) -> Status
  private typealias Text = @convention(c) (Program?, UnsafeMutablePointer<CChar>) -> Status
  private let logSize: Size
  private let log: Text
  private let binarySize: Size
  private let binary: Text
  private let errorString: @convention(c) (Status) -> UnsafePointer<CChar>
  /// Major and minor version; part of what a cached kernel depends on.
  let version: CUDAVersion
  let path: String

  /// - Throws: ``CUDAError`` when the library or a function is missing.
  init(_ search: CUDASearchPath) throws {
    let library = try DynamicLibrary(
      ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"], in: search.folders,
      hint: "It comes with the CUDA toolkit (package cuda-nvrtc); name its folder as CUDA path.")
    path = library.path
    create = try library.function("nvrtcCreateProgram")
    compileProgram = try library.function("nvrtcCompileProgram")
    destroy = try library.function("nvrtcDestroyProgram")
    logSize = try library.function("nvrtcGetProgramLogSize")
    log = try library.function("nvrtcGetProgramLog")
    binarySize = try library.function("nvrtcGetCUBINSize")
    binary = try library.function("nvrtcGetCUBIN")
    errorString = try library.function("nvrtcGetErrorString")
    let getVersion:
      @convention(c) (UnsafeMutablePointer<Int32>, UnsafeMutablePointer<Int32>)
        -> Status = try library.function("nvrtcVersion")
    var (major, minor): (Int32, Int32) = (0, 0)
    _ = getVersion(&major, &minor)
    version = CUDAVersion(major: Int(major), minor: Int(minor))
  }

  /// Machine code of `source`.
  /// - Throws: ``CUDAError/compilationFailed(source:log:)`` with the compiler's messages.
  func compile(_ source: String, name: String, options: [String]) throws -> [UInt8] {
    var program: Program?
    try check(create(&program, source, name, 0, nil, nil), "nvrtcCreateProgram")
    defer { _ = destroy(&program) }
    let arguments = options.map { strdup($0) }
    defer { for argument in arguments { free(argument) } }
    let status = arguments.map { UnsafePointer($0) }.withUnsafeBufferPointer {
      compileProgram(program, Int32(options.count), $0.baseAddress!)
    }
    guard status == 0 else {
      let text = try bytes(of: program, logSize, log, "nvrtcGetProgramLog")
      throw CUDAError.compilationFailed(
        source: name, log: String(decoding: text.prefix { $0 != 0 }, as: UTF8.self))
    }
    return try bytes(of: program, binarySize, binary, "nvrtcGetCUBIN")
  }

  private func bytes(
    of program: Program?, _ size: Size, _ content: Text, _ call: String
  ) throws -> [UInt8] {
    var count = 0
    try check(size(program, &count), call + "Size")
    var bytes = [UInt8](repeating: 0, count: count)
    try bytes.withUnsafeMutableBytes { buffer in
      guard let base = buffer.baseAddress else { return }
      try check(content(program, base.assumingMemoryBound(to: CChar.self)), call)
    }
    return bytes
  }

  private func check(_ status: Status, _ call: String) throws {
    guard status != 0 else { return }
    throw CUDAError.callFailed(
      call: call, code: Int(status), meaning: String(cString: errorString(status)))
  }
}
