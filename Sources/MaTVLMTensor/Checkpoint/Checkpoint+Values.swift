extension Checkpoint {
  /// A floating-point tensor: as stored, in place where it is aligned for its type, or converted.
  /// - Throws: ``CheckpointError`` naming file and tensor when it is missing, of another shape or not
  ///   stored in floating point.
  func value(
    of name: String, _ shape: Shape, as wanted: DType? = nil, on backend: any Backend
  ) throws -> Tensor {
    let (file, entry) = try requested(name)
    try file.checkShape(entry, shape)
    guard let dtype = entry.type.parameterType else {
      throw CheckpointError.wrongType(
        path: file.url.path, tensor: name, found: entry.type.rawValue)
    }
    let bytes = file.bytes(of: entry)
    let stored =
      UInt(bitPattern: bytes.baseAddress) % UInt(dtype.byteCount) == 0
      ? Tensor(backend.adopt(bytes, owner: file), shape, dtype)
      : Tensor(copying: bytes, shape, dtype, on: backend)
    guard let wanted, wanted != dtype else { return stored }
    defer { file.release(entry) }
    return backend.convert(stored, to: wanted)
  }

  /// A matrix of weights, floating-point or quantised.
  /// - Throws: as ``value(of:_:as:on:)``, and when codes or scales do not fit.
  func matrix(
    _ name: String, _ shape: Shape, _ format: WeightFormat, on backend: any Backend
  ) throws -> Tensor {
    guard contains(QuantizedName.codes(name)) else {
      return try value(
        of: name, shape, as: format.wanted.map(DType.quantized), on: backend)
    }
    guard let stored = format.stored else {
      throw CheckpointError.malformed(
        path: manifest.path, tensor: QuantizedName.codes(name),
        problem: "expected quantization in config.json to say of how many bits, found none")
    }
    let layout = QuantizedLayout(shape, stored)
    let tensor = Tensor(uninitialized: shape, .quantized(stored), on: backend)
    for (name, type, shape, offset) in [
      (QuantizedName.scales(name), SafetensorsType.bfloat16, layout.scalesShape, 0),
      (QuantizedName.codes(name), .uint8, layout.codesShape, layout.codesOffset),
    ] {
      let (file, entry) = try requested(name)
      try file.checkShape(entry, shape)
      guard entry.type == type else {
        throw CheckpointError.malformed(
          path: file.url.path, tensor: name,
          problem: "expected \(type.rawValue), found \(entry.type.rawValue)")
      }
      backend.write(file.bytes(of: entry), to: tensor.storage.memory, at: offset)
      file.release(entry)
    }
    return tensor
  }
}

extension SafetensorsFile {
  fileprivate func checkShape(_ entry: Entry, _ shape: Shape) throws {
    guard entry.shape == shape else {
      throw CheckpointError.wrongShape(
        path: url.path, tensor: entry.name, expected: shape, found: entry.shape)
    }
  }
}
