import Synchronization

/// What a kernel, or a product of one shape, cost in all.
package struct LaunchTime: Sendable {
  package let name: String
  package var launches: Int
  package var seconds: Double
}

/// The time on the card of everything that is queued while it is in place, by name: an event before
/// and after each launch, so that kernels cannot overlap and each shows its launch as well.
final class LaunchProfile: Sendable {
  private struct Launch: @unchecked Sendable {  // events, which the driver makes thread-safe
    let name: String
    let start: CUDADriver.Handle
    let end: CUDADriver.Handle
  }
  private let driver: CUDADriver
  private let launches = Mutex<[Launch]>([])

  init(_ driver: CUDADriver) { self.driver = driver }

  func around(
    _ name: String, on stream: CUDADriver.Handle, _ queue: () throws -> Void
  ) throws {
    func mark() throws -> CUDADriver.Handle {
      let event = try driver.handle("cuEventCreate") { driver.createEvent($0, 0) }
      try driver.check(driver.recordEvent(event, stream), "cuEventRecord")
      return event
    }
    let start = try mark()
    try queue()
    let end = try mark()
    launches.withLock { $0.append(Launch(name: name, start: start, end: end)) }
  }

  /// Times by name, the largest first; to be called when the stream has come to its end.
  func times() throws -> [LaunchTime] {
    var times: [String: LaunchTime] = [:]
    for launch in launches.withLock({ $0 }) {
      var milliseconds: Float = 0
      try driver.check(
        driver.elapsedTime(&milliseconds, launch.start, launch.end), "cuEventElapsedTime")
      for event in [launch.start, launch.end] {
        try driver.check(driver.destroyEvent(event), "cuEventDestroy")
      }
      let time = times[launch.name] ?? LaunchTime(name: launch.name, launches: 0, seconds: 0)
      times[launch.name] = LaunchTime(
        name: launch.name, launches: time.launches + 1,
        seconds: time.seconds + Double(milliseconds) / 1e3)
    }
    return times.values.sorted { $0.seconds > $1.seconds }
  }
}

extension CUDABackend {
  /// Runs `body` and tells where the card's time went.
  package func profile(_ body: () throws -> Void) throws -> [LaunchTime] {
    let profile = LaunchProfile(device.driver)
    device.profile.withLock { $0 = profile }
    defer { device.profile.withLock { $0 = nil } }
    try body()
    try device.makeCurrent()
    try device.synchronize()
    return try profile.times()
  }
}
