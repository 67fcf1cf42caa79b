/// Where tensors live and are computed.
///
/// A module that brings another device adds a constructor here in an extension; nothing else has to
/// know about it.
public struct Device: Sendable, Hashable, CustomStringConvertible {
  package let backend: any Backend

  package init(_ backend: any Backend) { self.backend = backend }

  /// The processor, with every thread that ``CPUBackend`` is set to use.
  public static let cpu = Device(CPUBackend.shared)

  public var description: String { backend.name }

  /// Whether tensors have values; a plan's device only counts, and what is only about values, such as
  /// fitting weights to samples, is to be left out there.
  public var holdsValues: Bool { backend.holdsValues }

  /// The types that keys and values of sequences that go on may have.
  public var cacheTypes: [DType] { backend.cacheTypes }

  /// Waits for nothing, but says whether the device still works. Call it after reading a result that
  /// matters (a loss, a token) and before keeping anything that was computed.
  /// - Throws: what made the device fail: it ran out of memory, the card was lost, a kernel did not
  ///   compile.
  public func check() throws {
    if let failure = backend.failure { throw failure }
  }

  public static func == (a: Device, b: Device) -> Bool { a.backend === b.backend }
  public func hash(into hasher: inout Hasher) { hasher.combine(ObjectIdentifier(backend)) }
}

extension Device {
  /// How many threads of the processor compute; results do not depend on it.
  /// - Precondition: at least one.
  public static func setProcessorThreads(_ count: Int) {
    require(count > 0, "setProcessorThreads: \(count)")
    CPUBackend.shared.threads = count
  }

  /// Lets the processor round rows to bfloat16 before they are multiplied with weights in bfloat16, as a card
  /// does. Where it has such products (AVX512-BF16, AMX) prompts are read about twice as fast, and weights at the
  /// speed of memory when one row is decoded; elsewhere nothing changes. Gradients are of the rows as they
  /// were. Off unless this is called.
  public static func setProcessorRounding(_ rounds: Bool) { CPUBackend.shared.roundsRows = rounds }

  /// How many threads of the processor compute at present.
  public static var processorThreads: Int { CPUBackend.shared.threads }
}
