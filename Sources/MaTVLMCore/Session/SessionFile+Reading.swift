import Foundation
import MaTVLMImages
import MaTVLMMamba
import MaTVLMTensor
import MaTVLMText
import MaTVLMTransformer

extension ChatSession {
  /// Reads a conversation that ``save(to:byteBudget:)`` wrote, to go on with the same model.
  ///
  /// - Parameter byteBudget: see ``byteBudget``.
  /// - Throws: ``CheckpointError`` when the file cannot be read or is cut off, ``SessionError`` when
  ///   it is not a conversation with this model; nothing is half loaded.
  public static func load(
    _ url: URL, with model: VisionLanguageModel, byteBudget: Int = .max
  ) throws -> ChatSession {
    var session = try SessionReader(SafetensorsFile(url), model).session()
    session.byteBudget = byteBudget
    return session
  }
}

/// Reads a file that nobody vouches for: every shape and every number is checked before use.
private struct SessionReader {
  private let file: SafetensorsFile
  private let model: VisionLanguageModel
  private var path: String { file.url.path }

  init(_ file: SafetensorsFile, _ model: VisionLanguageModel) throws {
    (self.file, self.model) = (file, model)
    guard file.metadata["format"] == SessionFile.format else {
      throw SessionError.notASession(path: path)
    }
    let version = file.metadata["version"] ?? ""
    guard version == SessionFile.version else {
      throw SessionError.version(path: path, found: String(version.debugDescription.prefix(40)))
    }
    guard file.metadata["model"] == model.fingerprint else {
      throw SessionError.otherModel(path: path)
    }
  }

  func session() throws -> ChatSession {
    let ids = try indices(SessionFile.ids)
    let vocabulary = model.configuration.text.vocabularySize
    guard ids.allSatisfy({ $0 == PromptTemplate.imageTokenID || (0..<vocabulary).contains($0) })
    else { throw malformed(SessionFile.ids, "not all are in the vocabulary of \(vocabulary)") }
    let history = ChatHistory(
      ids: ids, pictures: try (0..<ChatHistory.placeholders(ids)).map(picture))
    let turns = try ascending(SessionFile.turns, below: ids.count)
    guard ids.isEmpty == turns.isEmpty, turns.first ?? 0 == 0 else {
      throw malformed(SessionFile.turns, "the first does not begin the conversation")
    }
    return ChatSession(
      model, history, turnStarts: turns, states: try states(history),
      pictures: try encodedPictures(history))
  }

  // MARK: Pictures

  private func picture(_ index: Int) throws -> RGBImage {
    let side = model.configuration.vision.imageSize
    let entry = try entry(SessionFile.picture(index), [side, side, 3]) { $0 == .uint8 }
    return RGBImage(width: side, height: side, pixels: Array(file.bytes(of: entry)))
  }

  private func encodedPictures(_ history: ChatHistory) throws -> EncodedPictures {
    let shape: Shape = [
      model.configuration.vision.tokens, model.configuration.text.hiddenSize,
    ]
    let activationType = model.device.backend.activationType
    return EncodedPictures(
      try history.pictures.enumerated().compactMap { index, picture in
        let name = SessionFile.imageRows(index)
        guard file.entry(name) != nil else { return nil }
        return EncodedPictures.Entry(
          picture: picture, rows: try numbers(name, shape, as: activationType))
      })
  }

  // MARK: States

  private func states(_ history: ChatHistory) throws -> PrefixStates {
    // The last id has not been read by any of them.
    let counts = try ascending(SessionFile.states, below: history.ids.count)
    let fresh = model.decoder.makeState(capacity: 1)
    guard let last = counts.last else { return PrefixStates() }
    guard counts[0] > 0, counts.count == 1 || !fresh.recurrent.isEmpty else {
      throw malformed(SessionFile.states, "\(counts) ids read are not those of this model")
    }
    let tokens = model.configuration.vision.tokens
    let snapshots = try counts.enumerated().map { index, count in
      PrefixStates.Snapshot(
        idCount: count, position: history.prefix(count).rows(tokensPerPicture: tokens),
        recurrent: try recurrent(index, fresh))
    }
    var remembered = snapshots[counts.count - 1].recurrent.makeIterator()
    let rows = snapshots[counts.count - 1].position
    let mixers = try fresh.mixers.enumerated().map { layer, mixer -> MixerState in
      guard case .keyValues(let cache) = mixer else { return .recurrent(remembered.next()!) }
      let shape: Shape = [rows, cache.width]
      return .keyValues(
        KeyValueCache(
          keys: try numbers(SessionFile.keys(layer), shape, as: cache.type),
          values: try numbers(SessionFile.values(layer), shape, as: cache.type)))
    }
    return PrefixStates(
      history.prefix(last), DecodingState(mixers: mixers, position: rows),
      snapshots: fresh.recurrent.isEmpty ? [] : snapshots)
  }

  /// What the recurrent mixers of a state remember.
  private func recurrent(_ index: Int, _ fresh: DecodingState) throws -> [Mamba2State] {
    try zip(model.decoder.mambaLayers, fresh.recurrent).map { layer, empty in
      Mamba2State(
        tail: try numbers(SessionFile.tail(index, layer), empty.tail.shape, as: .float32),
        state: try numbers(SessionFile.scan(index, layer), empty.state.shape, as: .float32))
    }
  }

  // MARK: Tensors

  /// In the given type, however another device stored it.
  private func numbers(_ name: String, _ shape: Shape, as type: DType) throws -> Tensor {
    let entry = try entry(name, shape) { $0.parameterType != nil }
    let tensor = file.tensor(entry, as: type, on: model.device)
    guard tensor.array().allSatisfy(\.isFinite) else {
      throw malformed(name, "not all numbers are finite")
    }
    return tensor
  }

  private func indices(_ name: String) throws -> [Int] {
    let count = file.entry(name)?.shape.count ?? 0
    let entry = try entry(name, [count]) { $0 == .int32 }
    return file.tensor(entry, as: .int32, on: .cpu).indices()
  }

  /// Numbers that grow, from 0 on.
  private func ascending(_ name: String, below limit: Int) throws -> [Int] {
    let values = try indices(name)
    let grow = zip(values, values.dropFirst()).allSatisfy(<)
    guard grow, values.allSatisfy((0..<limit).contains) else {
      throw malformed(name, "expected growing numbers below \(limit)")
    }
    return values
  }

  private func entry(
    _ name: String, _ shape: Shape, _ isRight: (SafetensorsType) -> Bool
  ) throws -> SafetensorsFile.Entry {
    guard let entry = file.entry(name) else { throw malformed(name, "it is missing") }
    guard entry.shape == shape, isRight(entry.type) else {
      throw malformed(
        name, "expected shape \(shape), found \(entry.type.rawValue) \(entry.shape)")
    }
    return entry
  }

  private func malformed(_ tensor: String, _ problem: String) -> SessionError {
    .malformed(path: path, tensor: tensor, problem: problem)
  }
}
