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
    let codes = try part(QuantizedName.codes(name), .uint8, layout.codesShape)
    let scales = try part(QuantizedName.scales(name), .bfloat16, layout.scalesShape)
    if let bytes = Self.joined(codes, scales) {
      return Tensor(backend.adopt(bytes, owner: codes.file), shape, .quantized(stored))
    }
    let tensor = Tensor(uninitialized: shape, .quantized(stored), on: backend)
    for (part, offset) in [(codes, 0), (scales, layout.scalesOffset)] {
      backend.write(part.file.bytes(of: part.entry), to: tensor.storage.memory, at: offset)
      part.file.release(part.entry)
    }
    return tensor
  }

  private typealias Part = (file: SafetensorsFile, entry: SafetensorsFile.Entry)

  private func part(_ name: String, _ type: SafetensorsType, _ shape: Shape) throws -> Part {
    let (file, entry) = try requested(name)
    try file.checkShape(entry, shape)
    guard entry.type == type else {
      throw CheckpointError.malformed(
        path: file.url.path, tensor: name,
        problem: "expected \(type.rawValue), found \(entry.type.rawValue)")
    }
    return (file, entry)
  }

  /// The bytes of both where they lie end to end, the second part aligned for its type.
  private static func joined(_ first: Part, _ second: Part) -> UnsafeRawBufferPointer? {
    guard first.file === second.file,
      first.entry.range.upperBound == second.entry.range.lowerBound
    else { return nil }
    let (head, tail) = (first.file.bytes(of: first.entry), second.file.bytes(of: second.entry))
    guard UInt(bitPattern: tail.baseAddress) % 2 == 0 else { return nil }
    return UnsafeRawBufferPointer(start: head.baseAddress, count: head.count + tail.count)
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
