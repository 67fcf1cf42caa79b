import Foundation

extension Error {
  /// Why the system refused, in its own words ("No space left on device"), without a full stop:
  /// what Foundation wraps in numbers and "could not be completed".
  package var systemReason: String {
    var error: NSError? = self as NSError
    while let current = error {
      if current.domain == NSPOSIXErrorDomain {
        return String(cString: strerror(Int32(truncatingIfNeeded: current.code)))
      }
      error = (current.userInfo[NSUnderlyingErrorKey] as? any Error).map { $0 as NSError }
    }
    let text = localizedDescription
    return text.hasSuffix(".") ? String(text.dropLast()) : text
  }
}
