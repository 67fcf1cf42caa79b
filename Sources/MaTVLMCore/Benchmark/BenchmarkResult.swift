/// One line of the table of a benchmark.
public struct BenchmarkResult: Sendable, Encodable {
  /// What was timed.
  public struct Speed: Sendable, Encodable {
    /// The median.
    public let seconds: Double
    public let tokensPerSecond: Double
    /// Which part is reached of the speed at which weights and state can be read from memory, when
    /// decoding; of the speed at which matrices can be multiplied, when reading a prompt.
    public let fractionOfLimit: Double
    /// What that is a part of. When decoding, bytes a second: the median of passes over memory between the
    /// tokens. When reading a prompt, multiplications a second.
    public let limit: Double
    /// The process's largest resident memory meanwhile.
    public let peakBytes: Int
    /// Of a card's memory when decoding: weights, state, and what a step computes with; nil on the
    /// processor and for prompts.
    public let deviceBytes: Int?
  }

  /// Part of the layers that have Mamba-2 mixers.
  public let ssmRatio: Double
  /// Rows that came before a token; of a prompt and its picture, the rows themselves.
  public let rows: Int
  public let weightBytes: Int
  /// Bytes of the state after these rows.
  public let stateBytes: Int
  /// nil: the state has no room in memory.
  public let speed: Speed?

  /// How people tell the model from the others.
  public var name: String {
    ssmRatio == 0 ? "teacher" : "\(Float(ssmRatio * 100)) % student".replacing(".0 %", with: " %")
  }
}
