import MaTVLMTensor

extension Device {
  /// Bytes of the card's memory: those that are in use, by whomever, and all; nil: this is no card,
  /// or it does not answer.
  public var cardMemory: (used: Int, total: Int)? {
    guard let card = backend as? CUDABackend,
      let (free, total) = card.attempt({ try card.device.memory() })
    else { return nil }
    return (total - free, total)
  }
}
