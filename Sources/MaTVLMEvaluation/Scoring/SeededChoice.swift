/// Chance that is the same on every run and in every shard: it follows from a seed and a name.
enum SeededChoice {
  /// 64 bits of `text` (FNV-1a, stirred as SplitMix64 does).
  static func hash(_ text: String, seed: UInt64) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ seed
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
    hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
    return hash ^ hash >> 31
  }

  static func element<T>(of choices: [T], for id: String, seed: UInt64) -> T? {
    choices.isEmpty ? nil : choices[Int(hash(id, seed: seed) % UInt64(choices.count))]
  }
}
