import CMaTVLMCUDASources
import Foundation
import MaTVLMTensor
import Synchronization

/// A compiled kernel on a card.
struct Kernel: @unchecked Sendable {  // a handle of the driver, never changed
  let name: String
  let function: UnsafeMutableRawPointer
}

/// The files of kernels.
package enum KernelFile: String, CaseIterable, Sendable {
  case attention
  case attendAndAdd = "attend_and_add"
  case cachedAttention = "cached_attention"
  case attentionGradient = "attention_gradient"
  case attentionWarpgroup = "attention_warpgroup"
  case attentionGradientWarpgroup = "attention_gradient_warpgroup"
  case mixAndAdd = "mix_and_add"
  case mixerStep = "mixer_step"
  case quantizedProducts = "quantized_products"
  case quantizedRows = "quantized_rows"
  case scan
  case scanGradient = "scan_gradient"
  case gatedNorm = "gated_norm"
  case convolutionFours = "convolution_fours"
  case convolution, elementwise, gemv, losses, norms, reductions, rows

  /// What comes before its own text.
  fileprivate var headers: [String] {
    let common = ["common.cuh", "mma.cuh"]
    return switch self {
    case .attention, .attentionGradient: common + ["attention.cuh"]
    case .attentionWarpgroup, .attentionGradientWarpgroup:
      common + ["attention.cuh", "warpgroup.cuh", "tile_copies.cuh"]
    case .cachedAttention: common + ["split_softmax.cuh", "cached_attention.cuh"]
    case .gemv: common + ["row_products.cuh"]
    case .attendAndAdd:
      common + ["row_products.cuh", "split_softmax.cuh", "cached_attention.cuh"]
    case .mixAndAdd: common + ["row_products.cuh", "mixer_row.cuh"]
    case .mixerStep: common + ["mixer_row.cuh"]
    default: common
    }
  }
}

/// One kernel file with the constants it is compiled for; a constant that it has not is zero.
package struct KernelSource: Hashable, Sendable {
  let file: KernelFile
  /// The type of activations in it.
  let element: DType
  package var headWidth = 0
  var stateWidth = 0
  var inputRows = 0
  var inputWidth = 0
  /// Pieces of weights that are on their way: `STAGES` of row_products.cuh.
  var stages = 0
  /// Steps of keys that are: `STEPS` of cached_attention.cuh.
  var steps = 0
  /// Warps of a block that attend: `ATTENTION_WARPS` of split_softmax.cuh.
  var attentionWarps = 0
  var codeBits = 0
  var group = 0
  var rowTiles = 0

  package init(_ file: KernelFile, _ element: DType) {
    self.file = file
    self.element = element
  }

  /// The whole text: what every file starts with, then the file.
  package var text: String {
    (file.headers + ["\(file.rawValue).cu"]).map { name in
      let source = matvlm_cuda_source_named(name)
      guard let start = source.text else {
        preconditionFailure("there is no kernel file \(name)")
      }
      let bytes = UnsafeBufferPointer(start: start, count: source.length)
      return "#line 1 \"\(name)\"\n" + String(decoding: bytes, as: UTF8.self)
    }.joined(separator: "\n")
  }

  package var options: [String] {
    require(
      element == .float32 || element == .bfloat16, "\(file): no kernels for \(element)")
    return [
      "-DELEMENT=\(element == .float32 ? "float" : "bf16")", "-DHEAD_WIDTH=\(headWidth)",
      "-DSTATE_WIDTH=\(stateWidth)", "-DINPUT_ROWS=\(inputRows)",
      "-DINPUT_WIDTH=\(inputWidth)", "-DSTAGES=\(stages)", "-DSTEPS=\(steps)",
      "-DATTENTION_WARPS=\(attentionWarps)",
      "-DCODE_BITS=\(codeBits)", "-DGROUP=\(group)", "-DROW_TILES=\(rowTiles)",
    ]
  }
}

/// Kernels compiled for the card that was found, kept in a folder by the content of what they were
/// compiled from.
final class KernelLibrary: Sendable {
  private let device: CUDADevice
  private let compiler: RuntimeCompiler
  private let folder: URL
  private struct State: @unchecked Sendable {  // handles of the driver
    var modules: [KernelSource: UnsafeMutableRawPointer] = [:]
    var kernels: [KernelSource: [String: Kernel]] = [:]
    var sharedBytes: [UnsafeMutableRawPointer: Int] = [:]
  }
  private let state = Mutex(State())

  init(_ device: CUDADevice, _ compiler: RuntimeCompiler, folder: URL) {
    self.device = device
    self.compiler = compiler
    self.folder = folder
  }

  /// A kernel that may use `sharedBytes` of dynamic shared memory.
  /// - Throws: ``CUDAError`` when it does not compile or load.
  func kernel(_ source: KernelSource, _ name: String, sharedBytes: Int) throws -> Kernel {
    try state.withLock { state in
      let kernel = try state.kernels[source]?[name] ?? load(source, name, &state)
      let usual = 48 << 10
      if sharedBytes > usual, sharedBytes > state.sharedBytes[kernel.function] ?? usual {
        let maximumDynamicSharedBytes: Int32 = 8
        try device.driver.check(
          device.driver.setFunctionAttribute(
            kernel.function, maximumDynamicSharedBytes, Int32(sharedBytes)),
          "cuFuncSetAttribute(\(name), \(sharedBytes) bytes of shared memory)")
        state.sharedBytes[kernel.function] = sharedBytes
      }
      return kernel
    }
  }

  private func load(_ source: KernelSource, _ name: String, _ state: inout State) throws -> Kernel {
    let module = try state.modules[source] ?? makeModule(source)
    state.modules[source] = module
    let function = try device.driver.handle("cuModuleGetFunction(\(name))") {
      device.driver.getFunction($0, module, name)
    }
    let kernel = Kernel(name: name, function: function)
    state.kernels[source, default: [:]][name] = kernel
    return kernel
  }

  private func makeModule(_ source: KernelSource) throws -> UnsafeMutableRawPointer {
    let text = source.text
    let suffix = device.architecture == 90 ? "a" : ""  // Hopper's own instructions
    let options =
      ["--gpu-architecture=sm_\(device.architecture)\(suffix)", "--std=c++17"] + source.options
    let key = ContentHash.of(["\(compiler.version)", options.joined(separator: " "), text])
    let file = folder.appending(path: "\(source.file.rawValue)-\(key).cubin")
    if let binary = try? Data(contentsOf: file), let module = try? loadModule(Array(binary)) {
      return module
    }
    let binary = try compiler.compile(text, name: source.file.rawValue, options: options)
    let module = try loadModule(binary)
    // A cache that cannot be written costs the next start time, nothing else.
    try? FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    try? Data(binary).write(to: file, options: .atomic)
    return module
  }

  private func loadModule(_ binary: [UInt8]) throws -> UnsafeMutableRawPointer {
    try binary.withUnsafeBytes { bytes in
      try device.driver.handle("cuModuleLoadData") {
        device.driver.loadModule($0, bytes.baseAddress!)
      }
    }
  }
}

/// A name for content: 128 bits of FNV-1a (two offsets), which is enough to tell versions of our own
/// text apart.
package enum ContentHash {
  package static func of(_ parts: [String]) -> String {
    var hashes: [UInt64] = [0xcbf2_9ce4_8422_2325, 0x6c62_272e_07bb_0142]
    for part in parts {
      for byte in Array(part.utf8) + [0] {
        for index in hashes.indices {
          hashes[index] = (hashes[index] ^ UInt64(byte)) &* 0x0000_0100_0000_01b3
        }
      }
    }
    return hashes.map { hash in
      let digits = String(hash, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }
}
