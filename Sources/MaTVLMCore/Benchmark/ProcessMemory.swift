import Foundation

/// The memory of this process.
public enum ProcessMemory {
  /// The largest resident set so far, or since ``resetPeak()``, in bytes.
  public static var peakBytes: Int {
    var usage = rusage()
    getrusage(Self.process, &usage)
    #if os(Linux)
      return usage.ru_maxrss << 10  // kibibytes here, bytes elsewhere
    #else
      return usage.ru_maxrss
    #endif
  }

  /// Begins the peak anew at what is resident now, where the system can: on Linux.
  public static func resetPeak() {
    #if os(Linux)
      guard let file = FileHandle(forWritingAtPath: "/proc/self/clear_refs") else { return }
      try? file.write(contentsOf: Data("5".utf8))
    #endif
  }

  /// Bytes that can be had without taking memory from others; all of the machine's where the system
  /// does not say.
  public static var availableBytes: Int {
    #if os(Linux)
      if let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8),
        let match = text.firstMatch(of: /MemAvailable: +(\d+) kB/), let kibibytes = Int(match.1)
      {
        return kibibytes << 10
      }
    #endif
    return Int(ProcessInfo.processInfo.physicalMemory)
  }

  /// The resident set at present, in bytes; nil where the system does not say.
  public static var currentBytes: Int? {
    // Pages: in all, resident, shared, …
    let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
    let fields = text?.split(separator: " ") ?? []
    return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) } : nil
  }

  #if canImport(Glibc)
    private static let process = __rusage_who_t(RUSAGE_SELF.rawValue)
  #else
    private static let process = RUSAGE_SELF
  #endif
}
