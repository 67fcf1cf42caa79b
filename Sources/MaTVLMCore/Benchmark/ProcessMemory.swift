import Foundation

/// The memory of this process.
public enum ProcessMemory {
  /// The largest resident set so far, in bytes.
  public static var peakBytes: Int {
    var usage = rusage()
    getrusage(RUSAGE_SELF, &usage)
    #if os(Linux)
      return usage.ru_maxrss << 10  // kibibytes here, bytes elsewhere
    #else
      return usage.ru_maxrss
    #endif
  }
}
