import Foundation
import MaTVLMTensor

/// What PyTorch computes with small models, and the models; `README.md` in the folder says what each
/// file is.
package enum Golden {
  package static let folder = Bundle.module.bundleURL.appending(path: "Golden")

  /// The tensors of a safetensors file in the folder.
  package static func tensors(_ file: String) throws -> GoldenTensors {
    GoldenTensors(file: try SafetensorsFile(folder.appending(path: file)))
  }

  /// A JSON file in the folder.
  package static func decode<T: Decodable>(_ file: String, as type: T.Type = T.self) throws -> T {
    try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: file)))
  }
}

/// Named tensors of one golden file.
package struct GoldenTensors: Sendable {
  fileprivate let file: SafetensorsFile

  package var names: [String] { file.names.sorted() }

  package func shape(_ name: String) throws -> Shape { try entry(name).shape }

  /// The numbers of a float32 tensor.
  package func values(_ name: String) throws -> [Float] {
    let entry = try entry(name, .float32)
    return Array(unsafeUninitializedCapacity: entry.shape.count) { values, count in
      UnsafeMutableRawBufferPointer(values).copyMemory(from: file.bytes(of: entry))
      count = entry.shape.count
    }
  }

  /// A float32 tensor on a device, of its own shape unless another is given.
  package func tensor(
    _ name: String, as shape: Shape? = nil, on device: Device = .cpu
  ) throws -> Tensor {
    Tensor(try values(name), try shape ?? self.shape(name), on: device)
  }

  /// The bytes of a uint8 tensor.
  package func bytes(_ name: String) throws -> [UInt8] {
    Array(file.bytes(of: try entry(name, .uint8)))
  }

  private func entry(
    _ name: String, _ type: SafetensorsType? = nil
  ) throws -> SafetensorsFile.Entry {
    guard let entry = file.entry(name), type == nil || entry.type == type else {
      throw CheckpointError.missingTensor(path: file.url.path, tensor: name)
    }
    return entry
  }
}

/// `nil` when a number is within `tolerance` of another, measured by that one; otherwise both.
package func deviation(_ value: Double, from expected: Double, relative tolerance: Double)
  -> String?
{
  let error = (value - expected).magnitude
  if error <= tolerance * expected.magnitude { return nil }
  return "\(value), expected \(expected), relative error \(error / expected.magnitude)"
}
