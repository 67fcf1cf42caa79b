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

  #if canImport(Glibc)
    private static let process = __rusage_who_t(RUSAGE_SELF.rawValue)
  #else
    private static let process = RUSAGE_SELF
  #endif
}
