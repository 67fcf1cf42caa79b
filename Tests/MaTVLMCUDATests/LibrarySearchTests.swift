import Foundation
import MaTVLMCUDA
import MaTVLMTensor
import Testing

@Suite struct LibrarySearchTests {
  @Test func aMissingLibraryIsNamedWithWhereItWasLookedFor() {
    let search = CUDASearchPath(cudaPath: "/nowhere/cuda")
    #expect {
      try DynamicLibrary(
        ["libmatvlm-is-not-there.so.1"], in: search.folders, hint: "Install it.")
    } throws: { error in
      let text = "\(error)"
      return text.contains("libmatvlm-is-not-there.so.1") && text.contains("/nowhere/cuda/lib64/")
        && text.hasSuffix("Install it.")
    }
  }

  @Test func aFolderThatWasNamedComesFirst() {
    #expect(CUDASearchPath(cudaPath: "/a").folders.first == "/a/lib64")
    #expect(!CUDASearchPath().folders.contains("/a/lib64"))
  }

  @Test func aMissingFunctionIsNamed() throws {
    let library = try DynamicLibrary(["libc.so.6", "libSystem.dylib"], in: [], hint: "")
    #expect(throws: CUDAError.functionMissing(library: library.path, function: "cuNoSuchCall")) {
      let _: @convention(c) () -> Int32 = try library.function("cuNoSuchCall")
    }
  }

  /// On a machine without a card the device is an error to read, not a crash; with one it works.
  @Test func theDeviceIsThereOrSaysWhyNot() throws {
    do {
      let device = try Device.cuda(0, precision: .float32)
      #expect(Tensor([1, 2], [2], on: device).array() == [1, 2])
    } catch let error as CUDAError {
      #expect(!error.description.isEmpty)
      #expect(error.localizedDescription == error.description)
    }
  }
}
