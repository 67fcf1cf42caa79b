import Foundation
import Synchronization

/// Ctrl-C, or a batch system that wants the machine back: the run finishes its update, saves, and
/// ends. The second time the program ends at once. `mpirun` passes SIGUSR1 on to all ranks, and gives
/// them a second after the other signals.
struct Interruption: Error, CustomStringConvertible {
  let signal: Int32
  let description: String

  /// What a shell reports for a program that a signal ended.
  var exitCode: Int32 { 128 + signal }

  /// Takes the signals from now on.
  static func watch() {
    _ = received.load(ordering: .relaxed)  // made here, not in the handler
    isSpoken.store(!Ranks.isOther, ordering: .relaxed)
    // Whoever started the program may have left them blocked.
    var taken = sigset_t()
    sigemptyset(&taken)
    for number in [SIGINT, SIGTERM, SIGUSR1] {
      sigaddset(&taken, number)
      Foundation.signal(number) { number in
        received.store(number, ordering: .relaxed)
        Foundation.signal(number, SIG_DFL)
        guard isSpoken.load(ordering: .relaxed) else { return }
        let text: StaticString = "\nfinishing the update, then saving; once more ends at once\n"
        _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
      }
    }
    pthread_sigmask(SIG_UNBLOCK, &taken, nil)
  }

  /// The signal that came; nil when none did.
  static var pending: Int32? {
    let number = received.load(ordering: .relaxed)
    return number == 0 ? nil : number
  }
}

private let received = Atomic<Int32>(0)
private let isSpoken = Atomic<Bool>(true)
