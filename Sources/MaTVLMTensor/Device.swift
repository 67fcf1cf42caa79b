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
}
