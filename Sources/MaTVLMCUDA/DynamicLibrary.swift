import Foundation

/// A shared library opened while the program runs, so that nothing of it is needed to build or
/// start.
package struct DynamicLibrary: @unchecked Sendable {  // the handle is never closed nor written
  package let path: String
  private let handle: UnsafeMutableRawPointer

  /// Opens the first of `names` that is found in `folders`, or by the system's own search.
  /// - Parameter hint: what to do when there is none.
  /// - Throws: ``CUDAError/libraryMissing(name:tried:hint:)``
  package init(_ names: [String], in folders: [String], hint: String) throws {
    // The system's search comes last where folders were named on purpose, and covers LD_LIBRARY_PATH
    // and what the process has loaded already.
    let candidates = folders.flatMap { folder in names.map { folder + "/" + $0 } } + names
    for path in candidates where !path.contains("/") || FileManager.default.fileExists(atPath: path)
    {
      if let handle = dlopen(path, RTLD_NOW | RTLD_LOCAL) {
        self.handle = handle
        self.path = path
        return
      }
    }
    throw CUDAError.libraryMissing(
      name: names[0], tried: names + folders.map { $0 + "/" }, hint: hint)
  }

  /// A function by its name in the library.
  /// - Parameter type: its prototype, declared by hand; nothing can check it.
  /// - Throws: ``CUDAError/functionMissing(library:function:)``
  package func function<Prototype>(_ name: String, as type: Prototype.Type = Prototype.self) throws
    -> Prototype
  {
    guard let address = dlsym(handle, name) else {
      throw CUDAError.functionMissing(library: path, function: name)
    }
    return unsafeBitCast(address, to: Prototype.self)
  }
}

/// Where CUDA's libraries are looked for.
public struct CUDASearchPath: Sendable, Hashable {
  /// A toolkit's folder (which has `lib64` or `lib`) or a folder of libraries; nil: none named.
  public let cudaPath: String?

  public init(cudaPath: String? = nil) { self.cudaPath = cudaPath }

  /// Folders of libraries in the order they are looked at; before the system's own search.
  package var folders: [String] {
    let named = cudaPath.map { [$0 + "/lib64", $0 + "/lib", $0 + "/targets/x86_64-linux/lib", $0] }
    return (named ?? []) + [
      "/usr/local/cuda/lib64", "/usr/local/cuda-13/lib64", "/usr/local/cuda-12/lib64",
      "/opt/cuda/lib64", "/usr/local/nvidia/lib64", "/usr/lib/wsl/lib",
      "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64",
    ]
  }
}
