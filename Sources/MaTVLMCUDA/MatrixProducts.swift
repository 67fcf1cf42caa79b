import CMaTVLMCUDASources
import MaTVLMTensor
import Synchronization

/// cuBLASLt: matrix products on the tensor cores (cuBLAS reference, section cuBLASLt, version 12 and
/// 13).
struct MatrixProductLibrary: Sendable {
  typealias Status = Int32
  typealias Handle = UnsafeMutableRawPointer
  typealias HandleOut = UnsafeMutablePointer<Handle?>
  typealias Address = UnsafeRawPointer

  let create: @convention(c) (HandleOut) -> Status
  let createProduct: @convention(c) (HandleOut, Int32, Int32) -> Status
  let setProduct: @convention(c) (Handle?, Int32, UnsafeRawPointer, Int) -> Status
  let createLayout: @convention(c) (HandleOut, Int32, UInt64, UInt64, Int64) -> Status
  let createPreference: @convention(c) (HandleOut) -> Status
  let setPreference: @convention(c) (Handle?, Int32, UnsafeRawPointer, Int) -> Status
  let destroyPreference: @convention(c) (Handle?) -> Status
  let findAlgorithm:
    @convention(c) (
      Handle?, Handle?, Handle?, Handle?, Handle?, Handle?, Handle?, Int32,
      UnsafeMutablePointer<matvlm_cublaslt_heuristic>, UnsafeMutablePointer<Int32>
    ) -> Status
  let multiply:
    @convention(c) (
      Handle?, Handle?, UnsafeRawPointer, Address?, Handle?, Address?, Handle?, UnsafeRawPointer,
      Address?, Handle?, Address?, Handle?, UnsafePointer<matvlm_cublaslt_algorithm>, Address?, Int,
      Handle?
    ) -> Status
  private let statusString: @convention(c) (Status) -> UnsafePointer<CChar>?

  /// - Throws: ``CUDAError`` when the library or a function is missing.
  init(_ search: CUDASearchPath) throws {
    let library = try DynamicLibrary(
      ["libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"], in: search.folders,
      hint: "It comes with the CUDA toolkit (package libcublas); name its folder as CUDA path.")
    create = try library.function("cublasLtCreate")
    createProduct = try library.function("cublasLtMatmulDescCreate")
    setProduct = try library.function("cublasLtMatmulDescSetAttribute")
    createLayout = try library.function("cublasLtMatrixLayoutCreate")
    createPreference = try library.function("cublasLtMatmulPreferenceCreate")
    setPreference = try library.function("cublasLtMatmulPreferenceSetAttribute")
    destroyPreference = try library.function("cublasLtMatmulPreferenceDestroy")
    findAlgorithm = try library.function("cublasLtMatmulAlgoGetHeuristic")
    multiply = try library.function("cublasLtMatmul")
    statusString = try library.function("cublasLtGetStatusString")
  }

  func check(_ status: Status, _ call: String) throws {
    guard status != 0 else { return }
    throw CUDAError.callFailed(
      call: call, code: Int(status),
      meaning: statusString(status).map { String(cString: $0) } ?? "unknown status")
  }
}

/// A product of two row-major matrices, first · second, either of them transposed.
struct MatrixProduct: Hashable {
  /// Rows and columns of the result, and the length of the sums.
  var rows: Int
  var columns: Int
  var inner: Int
  var transposesFirst = false
  var transposesSecond = false
  /// Types of both inputs and of the result; sums are float32.
  var input: DType
  var output: DType
  /// Whether a vector of the output's type is added to every row.
  var hasBias = false
  /// Whether the result goes through GELU, in the form with tanh.
  var hasGELU = false
  /// Whether the result is a gradient that goes back through such a GELU, of another matrix of its shape
  /// and type.
  var hasGELUGradient = false
  /// Whether the result is added to another matrix of its shape.
  var accumulates = false
}

/// Products on one device, with the algorithm that cuBLASLt chose for each shape.
final class MatrixProducts: Sendable {
  private let library: MatrixProductLibrary
  private let device: CUDADevice
  private struct State: @unchecked Sendable {  // handles, only used under the lock
    var handle: UnsafeMutableRawPointer?
    var workspace: UInt64
    var plans: [MatrixProduct: Plan] = [:]
  }
  private let state: Mutex<State>

  private static let workspaceBytes = 64 << 20

  init(_ library: MatrixProductLibrary, _ device: CUDADevice) throws {
    self.library = library
    self.device = device
    var handle: UnsafeMutableRawPointer?
    try library.check(library.create(&handle), "cublasLtCreate")
    let workspace = try device.allocate(Self.workspaceBytes)
    state = Mutex(State(handle: handle, workspace: workspace))
  }

  /// After this nothing can be multiplied.
  func releaseWorkspace() throws { try state.withLock { try device.release($0.workspace) } }

  /// Everything cuBLASLt has to be told about a shape once.
  private struct Plan: @unchecked Sendable {
    var product: UnsafeMutableRawPointer?
    var first: UnsafeMutableRawPointer?
    var second: UnsafeMutableRawPointer?
    var result: UnsafeMutableRawPointer?
    var algorithm = matvlm_cublaslt_algorithm()
  }

  /// Queues a product on the device's stream.
  /// - Parameters:
  ///   - activated: what went into the GELU that a gradient goes back through.
  ///   - addend: what an accumulating product is added to, `result` itself or another.
  func multiply(
    _ shape: MatrixProduct, _ first: UInt64, _ second: UInt64, bias: UInt64?, activated: UInt64?,
    addingTo addend: UInt64, into result: UInt64
  ) throws {
    try state.withLock { state in
      let plan = try state.plans[shape] ?? plan(shape, state.handle)
      state.plans[shape] = plan
      if var bias { try set(plan.product, .biasPointer, &bias) }
      if var activated { try set(plan.product, .auxiliaryPointer, &activated) }
      var alpha: Float = 1
      var beta: Float = shape.accumulates ? 1 : 0
      var algorithm = plan.algorithm
      // Row-major a · b is column-major bᵀ · aᵀ, so the operands change places.
      try device.watched("product \(shape.rows) x \(shape.columns) x \(shape.inner)") {
        try library.check(
          library.multiply(
            state.handle, plan.product, &alpha, pointer(second), plan.second, pointer(first),
            plan.first, &beta, pointer(addend), plan.result, pointer(result), plan.result,
            &algorithm, pointer(state.workspace), Self.workspaceBytes, device.stream),
          "cublasLtMatmul")
      }
    }
  }

  private func pointer(_ address: UInt64) -> UnsafeRawPointer? {
    UnsafeRawPointer(bitPattern: UInt(address))
  }

  /// cublasLtMatmulDescAttributes_t
  private enum ProductAttribute: Int32 {
    case transposeFirst = 3
    case transposeSecond = 4
    case epilogue = 7
    case biasPointer = 8
    case auxiliaryPointer = 11
    case auxiliaryRowLength = 12
    case biasType = 26
  }

  private func set<Value: BitwiseCopyable>(
    _ product: UnsafeMutableRawPointer?, _ attribute: ProductAttribute, _ value: inout Value
  ) throws {
    try library.check(
      library.setProduct(product, attribute.rawValue, &value, MemoryLayout<Value>.size),
      "cublasLtMatmulDescSetAttribute")
  }

  private func plan(_ shape: MatrixProduct, _ handle: UnsafeMutableRawPointer?) throws -> Plan {
    let computeFloat32: Int32 = 68  // CUBLAS_COMPUTE_32F: float32 inputs are not rounded to tf32
    var plan = Plan()
    try library.check(
      library.createProduct(&plan.product, computeFloat32, DType.float32.cudaType),
      "cublasLtMatmulDescCreate")
    var transpose: Int32 = 1
    if shape.transposesSecond { try set(plan.product, .transposeFirst, &transpose) }
    if shape.transposesFirst { try set(plan.product, .transposeSecond, &transpose) }
    // CUBLASLT_EPILOGUE_BIAS, CUBLASLT_EPILOGUE_GELU and CUBLASLT_EPILOGUE_DGELU
    var epilogue: UInt32 =
      (shape.hasBias ? 4 : 0) | (shape.hasGELU ? 32 : 0) | (shape.hasGELUGradient ? 192 : 0)
    if epilogue != 0 { try set(plan.product, .epilogue, &epilogue) }
    if shape.hasGELUGradient {
      var length = Int64(shape.columns)
      try set(plan.product, .auxiliaryRowLength, &length)
    }
    if shape.hasBias {
      var type = shape.output.cudaType
      try set(plan.product, .biasType, &type)
    }
    func layout(_ rows: Int, _ columns: Int, _ type: DType) throws -> UnsafeMutableRawPointer? {
      var layout: UnsafeMutableRawPointer?
      try library.check(
        library.createLayout(
          &layout, type.cudaType, UInt64(columns), UInt64(rows), Int64(columns)),
        "cublasLtMatrixLayoutCreate")
      return layout
    }
    plan.first =
      shape.transposesFirst
      ? try layout(shape.inner, shape.rows, shape.input)
      : try layout(shape.rows, shape.inner, shape.input)
    plan.second =
      shape.transposesSecond
      ? try layout(shape.columns, shape.inner, shape.input)
      : try layout(shape.inner, shape.columns, shape.input)
    plan.result = try layout(shape.rows, shape.columns, shape.output)

    var preference: UnsafeMutableRawPointer?
    try library.check(library.createPreference(&preference), "cublasLtMatmulPreferenceCreate")
    defer { _ = library.destroyPreference(preference) }
    var workspace = Self.workspaceBytes
    try library.check(
      library.setPreference(preference, 1, &workspace, MemoryLayout<Int>.size),
      "cublasLtMatmulPreferenceSetAttribute")
    var best = matvlm_cublaslt_heuristic()
    var found: Int32 = 0
    let status = library.findAlgorithm(
      handle, plan.product, plan.second, plan.first, plan.result, plan.result, preference, 1,
      &best, &found)
    let notSupported: Int32 = 15
    try library.check(
      status == 0 && found == 0 ? notSupported : status,
      "cublasLtMatmulAlgoGetHeuristic(\(shape))")
    plan.algorithm = best.algorithm
    return plan
  }
}

extension DType {
  /// cudaDataType_t
  var cudaType: Int32 {
    switch self {
    case .float32: 0
    case .float16: 2
    case .bfloat16: 14
    case .int32: 10
    case .quantized: preconditionFailure("\(self) is no type of cuBLAS")
    }
  }
}
