import MaTVLMTensor

/// A quantised matrix of weights as kernels take it: in its panels, as it came from the file.
struct QuantizedMatrix {
  let tensor: Tensor
  let layout: QuantizedLayout

  /// nil: the tensor is not quantised.
  init?(_ tensor: Tensor) {
    guard let quantization = tensor.dtype.quantization else { return nil }
    self.tensor = tensor
    layout = QuantizedLayout(tensor.shape, quantization)
  }

  private var bits: Int { layout.quantization.code.rawValue }
  var scales: UInt64 { tensor.address + UInt64(layout.scalesOffset) }

  private var wordColumns: Int { layout.quantization.wordColumns }
  /// Words of a row, without those that a group is filled up with.
  var words: Int { (tensor.shape.width + wordColumns - 1) / wordColumns }

  /// Loads of a warp that a panel takes; `STEP` of quantized_products.cu.
  var steps: Int { layout.width / (4 * wordColumns) }
  /// What a warp has on its way of them at a time: `DEPTH`, of as many steps as a code has bits.
  var batches: Int { (steps + bits - 1) / bits }

  /// The kernels of `file` for this kind of matrix.
  func source(_ file: KernelFile, _ element: DType) -> KernelSource {
    var source = KernelSource(file, element)
    (source.codeBits, source.group) = (bits, layout.quantization.group)
    return source
  }

  /// `Matrix` of quantized_rows.cu.
  var argument: KernelArgument {
    .words([tensor.address, scales, KernelArgument.pair(tensor.shape.rows, tensor.shape.width)])
  }

  /// `Factors` of quantized_products.cu.
  func factors(_ x: Tensor) -> [UInt64] {
    [tensor.address, scales, x.address, KernelArgument.pair(x.shape.width, layout.groups)]
  }
}

extension Quantization {
  /// Columns of one row that lie in one 32-bit word.
  var wordColumns: Int { 32 / code.rawValue }
}

extension DType {
  /// How the type rounds; nil: its elements are numbers by themselves.
  var quantization: Quantization? {
    if case .quantized(let quantization) = self { quantization } else { nil }
  }
}
