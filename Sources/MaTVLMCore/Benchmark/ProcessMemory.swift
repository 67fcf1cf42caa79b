import Foundation

/// The memory of this process.
public enum ProcessMemory {
  /// The largest resident set so far, in bytes.
  public static var peakBytes: Int {
    var usage = rusage()
    getrusage(Self.process, &usage)
    #if os(Linux)
      return usage.ru_maxrss << 10  // kibibytes here, bytes elsewhere
    #else
      return usage.ru_maxrss
    #endif
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
