import MaTVLMTensor
import Synchronization

extension CUDABackend {
  package func record(_ body: () -> [Tensor]) -> (any RecordedWork)? {
    let driver = device.driver
    let relaxed: Int32 = 2  // CU_STREAM_CAPTURE_MODE_RELAXED: memory may be obtained meanwhile
    memory.withLock { $0.hold() }
    let began: Void? = attempt {
      try driver.check(driver.beginCapture(device.stream, relaxed), "cuStreamBeginCapture")
    }
    let outputs = began == nil ? [] : body()
    let graph = attempt {
      try driver.handle("cuStreamEndCapture") { driver.endCapture(device.stream, $0) }
    }
    let held = memory.withLock { $0.endHold() }
    let executable = graph.flatMap { graph in
      attempt {
        defer { _ = driver.destroyGraph(graph) }
        return try driver.handle("cuGraphInstantiate") { driver.instantiateGraph($0, graph, 0) }
      }
    }
    return CUDAGraph(self, executable, outputs: outputs, held: held)
  }
}

/// Kernels that were queued once and are queued again as one (a CUDA graph).
///
/// The memory of everything that was computed in between stays out of other use for as long.
final class CUDAGraph: RecordedWork, @unchecked Sendable {  // all parts are set once
  let outputs: [Tensor]
  private let backend: CUDABackend
  /// nil when recording failed; the backend says why.
  private let executable: UnsafeMutableRawPointer?
  private let held: [(address: UInt64, byteCount: Int)]

  init(
    _ backend: CUDABackend, _ executable: UnsafeMutableRawPointer?, outputs: [Tensor],
    held: [(address: UInt64, byteCount: Int)]
  ) {
    self.backend = backend
    self.executable = executable
    self.outputs = outputs
    self.held = held
    backend.tables.withLock { $0.users += 1 }
  }

  func replay() {
    backend.attempt {
      let driver = backend.device.driver
      try driver.check(driver.launchGraph(executable, backend.device.stream), "cuGraphLaunch")
    }
  }

  deinit {
    backend.tables.withLock { $0.users -= 1 }
    // Queued replays end before whoever gets the memory next begins.
    backend.attempt { try backend.device.synchronize() }
    if let executable { _ = backend.device.driver.destroyExecutableGraph(executable) }
    for block in held {
      backend.free(Memory(bits: UInt(block.address)), byteCount: block.byteCount)
    }
  }
}
