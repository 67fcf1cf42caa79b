import Foundation
import MaTVLMTensor

/// What a saved conversation looks like: a safetensors file.
///
/// | tensor | type and shape | what |
/// | --- | --- | --- |
/// | `ids` | int32 [ids] | token ids, −200 where a picture stands |
/// | `turns` | int32 [turns] | ids before each turn |
/// | `pictures.K` | uint8 [side, side, 3] | the picture of placeholder K |
/// | `image_rows.K` | [tokens, D] | what the connector made of it, if it was kept |
/// | `states` | int32 [states] | ids that each kept state has read, ascending |
/// | `layers.L.keys`, `.values` | [rows, G·P] | of an attention layer, all that the last state read |
/// | `states.K.layers.L.tail`, `.state` | float32 | of a Mamba-2 layer in state K |
enum SessionFile {
  static let format = "matvlm-session"
  static let version = "1"
  static let ids = "ids"
  static let turns = "turns"
  static let states = "states"

  static func picture(_ index: Int) -> String { "pictures.\(index)" }
  static func imageRows(_ index: Int) -> String { "image_rows.\(index)" }
  static func keys(_ layer: Int) -> String { "layers.\(layer).keys" }
  static func values(_ layer: Int) -> String { "layers.\(layer).values" }
  static func tail(_ state: Int, _ layer: Int) -> String { "states.\(state).layers.\(layer).tail" }
  static func scan(_ state: Int, _ layer: Int) -> String { "states.\(state).layers.\(layer).state" }

  /// Whether there is a conversation at `url`.
  static func isSession(_ url: URL) -> Bool {
    (try? SafetensorsFile(url))?.metadata["format"] == format
  }
}

extension ChatSession {
  /// Writes the conversation with what is kept of it to one file, whole or not at all; an earlier
  /// conversation there is replaced.
  ///
  /// - Parameter byteBudget: bytes of states and image rows at most, in place of ``byteBudget``
  ///   where that is more. The conversation itself is written in any case.
  /// - Throws: ``SessionError/occupied(path:)`` when something else is at `url`,
  ///   ``CheckpointError`` when the file cannot be written; what was there stays then.
  public func save(to url: URL, byteBudget: Int? = nil) throws {
    guard SessionFile.isSession(url) || !FileManager.default.fileExists(atPath: url.path) else {
      throw SessionError.occupied(path: url.path)
    }
    try model.device.check()
    var saved = self
    saved.returnToHistory()
    saved.byteBudget = min(byteBudget ?? .max, self.byteBudget)
    try SafetensorsWriter.write(
      saved.tensors,
      metadata: [
        "format": SessionFile.format, "version": SessionFile.version, "model": model.fingerprint,
      ], to: url)
  }

  private var tensors: [CheckpointTensor] {
    [
      Self.indices(SessionFile.ids, history.ids), Self.indices(SessionFile.turns, turnStarts),
      Self.indices(SessionFile.states, states.readIDs),
    ] + stateTensors + pictureTensors
  }

  private var pictureTensors: [CheckpointTensor] {
    var encoded = pictures.entries
    return history.pictures.enumerated().flatMap { index, picture -> [CheckpointTensor] in
      let shape: Shape = [picture.height, picture.width, 3]
      let pixels = CheckpointTensor(
        SessionFile.picture(index), .uint8, shape, bytes: Data(picture.pixels))
      // A picture that was shown twice has its rows once.
      guard let known = encoded.firstIndex(where: { $0.picture == picture }) else {
        return [pixels]
      }
      return [
        pixels, CheckpointTensor(SessionFile.imageRows(index), encoded.remove(at: known).rows),
      ]
    }
  }

  private var stateTensors: [CheckpointTensor] {
    guard let state = states.state else { return [] }
    return state.mixers.enumerated().flatMap { layer, mixer -> [CheckpointTensor] in
      guard case .keyValues(let cache) = mixer else { return recurrentTensors(layer) }
      return [
        CheckpointTensor(SessionFile.keys(layer), cache.usedKeys),
        CheckpointTensor(SessionFile.values(layer), cache.usedValues),
      ]
    }
  }

  private func recurrentTensors(_ layer: Int) -> [CheckpointTensor] {
    let place = model.decoder.mambaLayers.firstIndex(of: layer)!
    return states.snapshots.enumerated().flatMap { index, snapshot in
      let mixer = snapshot.recurrent[place]
      return [
        CheckpointTensor(SessionFile.tail(index, layer), mixer.tail),
        CheckpointTensor(SessionFile.scan(index, layer), mixer.state),
      ]
    }
  }

  private static func indices(_ name: String, _ values: [Int]) -> CheckpointTensor {
    CheckpointTensor(name, Tensor(indices: values))
  }
}
