import Synchronization

/// A device that computes nothing: it has shapes, and counts bytes and operations. What runs on it
/// is what runs on a real one, so that a plan needs no second description of a model or of training.
///
/// What is read from it is 1 everywhere.
package final class CountingBackend: Backend {
  /// The device that is counted for.
  package enum Target: Sendable, Hashable {
    /// The processor, with so many threads: each has working memory of its own.
    case processor(threads: Int)
    /// A card, whose activations have this type.
    case card(DType)
  }

  package let name = "plan"
  package let activationType: DType
  package let holdsQuantizedWeights = true
  package let holdsValues = false
  let target: Target

  private struct State {
    var memory: CountedMemory
    var operations = OperationCounts()
    /// Weights that a card holds in its activations' type too, until they change.
    var converted: [Memory: Tensor] = [:]
  }

  private let state: Mutex<State>

  package init(_ target: Target) {
    self.target = target
    switch target {
    case .processor:
      activationType = .float32
      state = Mutex(State(memory: CountedMemory(keptLimit: CPUBackend.keptLimit)))
    case .card(let type):
      activationType = type
      // What a card keeps it gives back before it runs out, but for gaps between blocks in use.
      state = Mutex(State(memory: CountedMemory(keptLimit: 0)))
    }
  }

  var isCard: Bool { if case .card = target { true } else { false } }

  /// Work items that run at once, of so many.
  func concurrent(_ items: Int) -> Int {
    if case .processor(let threads) = target { min(threads, items) } else { 0 }
  }

  // MARK: What was counted

  /// Bytes in use when most were, since the last ``resetPeak()``.
  package var peak: MemoryCount { state.withLock { $0.memory.peak } }

  package func resetPeak() { state.withLock { $0.memory.resetPeak() } }

  /// Operations since the last call.
  package func takeOperations() -> OperationCounts {
    state.withLock { state in
      defer { state.operations = OperationCounts() }
      return state.operations
    }
  }

  /// All that was allocated so far is weights, and these train.
  package func assignWeights(trained: [Parameter]) {
    state.withLock { state in
      state.memory.assignAll(to: .frozen)
      for parameter in trained {
        state.memory.assign(parameter.value.storage.memory.bits, to: .trained)
      }
    }
  }

  // MARK: Counting

  /// A new tensor for a use.
  func new(_ shape: Shape, _ dtype: DType? = nil, _ use: MemoryUse = .activations) -> Tensor {
    let tensor = Tensor(uninitialized: shape, dtype ?? activationType, on: self)
    if use != .activations { assign([tensor], to: use) }
    return tensor
  }

  func assign(_ tensors: [Tensor], to use: MemoryUse) {
    state.withLock { state in
      for tensor in tensors { state.memory.assign(tensor.storage.memory.bits, to: use) }
    }
  }

  /// What a tensor's memory is used for, as gradients or otherwise.
  func use(of tensor: Tensor) -> MemoryUse {
    state.withLock { $0.memory.use(of: tensor.storage.memory.bits) } == .gradients
      ? .gradients : .activations
  }

  /// Memory that an operation has while it runs.
  func work(bytes: Int) {
    guard bytes > 0 else { return }
    state.withLock { $0.memory.free($0.memory.allocate(bytes, .working)) }
  }

  /// Counts one use of an operation.
  func count(_ operation: OperationCount) { state.withLock { $0.operations.add(operation) } }

  /// A card makes products with weights in its activations' type and keeps what it converted.
  func convertOnCard(_ weight: Tensor) {
    guard isCard, weight.dtype != activationType else { return }
    let memory = weight.storage.memory
    guard state.withLock({ $0.converted[memory] == nil }) else { return }
    let copy = new(weight.shape, activationType, .working)
    state.withLock { $0.converted[memory] = copy }
  }

  /// The weights have changed.
  func forgetConverted(_ weights: [Tensor]) {
    let gone = state.withLock { state in
      weights.map { state.converted.removeValue(forKey: $0.storage.memory) }
    }
    withExtendedLifetime(gone) {}  // given back outside of the lock
  }

  // MARK: Memory

  package func allocate(byteCount: Int) -> Memory {
    Memory(bits: state.withLock { $0.memory.allocate(byteCount, .activations) })
  }

  package func free(_ memory: Memory, byteCount: Int) {
    state.withLock { $0.memory.free(memory.bits) }
  }

  package func write(_ bytes: UnsafeRawBufferPointer, to memory: Memory, at offset: Int) {}

  package func read(_ memory: Memory, at offset: Int, into bytes: UnsafeMutableRawBufferPointer) {
    let one = Float(1).bitPattern.littleEndian
    for start in stride(from: 0, to: bytes.count - 3, by: 4) {
      bytes.storeBytes(of: one, toByteOffset: start, as: UInt32.self)
    }
  }

  package func adopt(
    _ bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable
  ) -> Storage {
    guard !isCard else { return Storage(self, byteCount: bytes.count) }
    let address = state.withLock { $0.memory.map(bytes.count) }
    return Storage(
      self, borrowing: Memory(bits: address), byteCount: bytes.count, from: owner)
  }

  package func zeros(_ shape: Shape, _ dtype: DType) -> Tensor {
    count(
      OperationCount("zeros \(dtype)", 0, [], details: shape.dimensions) { backend, _ in
        backend.zeros(shape, dtype)
      })
    return new(shape, dtype)
  }

  package func convert(_ x: Tensor, to dtype: DType) -> Tensor {
    count(
      OperationCount("convert to \(dtype)", 0, [.init(x)]) { $0.convert($1[0], to: dtype) })
    return new(x.shape, dtype)
  }
}
