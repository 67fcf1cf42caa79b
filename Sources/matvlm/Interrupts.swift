import Dispatch
import Foundation
import Synchronization

/// Ctrl-C stops what is under way, and not the program.
final class Interrupts: Sendable {
  private enum State { case idle, busy, stopping }
  private let state = Mutex(State.idle)
  private nonisolated(unsafe) let source: any DispatchSourceSignal

  /// - Parameter onIdle: called, on another thread, when nothing was under way.
  init(onIdle: @escaping @Sendable () -> Void) {
    signal(SIGINT, SIG_IGN)
    // A queue of its own has a thread even while every processor computes.
    source = DispatchSource.makeSignalSource(
      signal: SIGINT, queue: DispatchQueue(label: "interrupts"))
    source.setEventHandler { [weak self] in
      guard let self else { return }
      let wasIdle = state.withLock { state in
        if state == .busy { state = .stopping }
        return state == .idle
      }
      if wasIdle { onIdle() }
    }
    source.resume()
  }

  /// Runs something that is to stop when `shouldStop` says so.
  func stopping<Result>(_ body: (_ shouldStop: @escaping () -> Bool) throws -> Result) rethrows
    -> Result
  {
    state.withLock { $0 = .busy }
    defer { state.withLock { $0 = .idle } }
    return try body { self.state.withLock { $0 == .stopping } }
  }
}
