import MaTVLMMamba
import MaTVLMTensor

/// The states of one conversation after some of its prefixes.
///
/// Key-value caches grow at their end and can be cut back, so that all prefixes share one set of
/// them. What a Mamba-2 mixer remembers cannot be taken apart again: each prefix has a copy of it, a
/// snapshot of constant size. A model without such mixers can go on from any prefix.
struct PrefixStates: Sendable {
  /// What recurrent mixers remember after a prefix.
  struct Snapshot: Sendable {
    /// Ids of the prefix.
    let idCount: Int
    /// Rows of the prefix.
    let position: Int
    /// In the order of their blocks.
    let recurrent: [Mamba2State]
  }

  /// What ``state`` has read.
  private(set) var history = ChatHistory()
  /// Shares its recurrent parts with the last snapshot.
  private(set) var state: DecodingState?
  /// Ascending; none when the model has no recurrent mixers.
  private(set) var snapshots: [Snapshot] = []

  init() {}

  /// States that were saved.
  /// - Precondition: they belong together, see the properties.
  init(_ history: ChatHistory, _ state: DecodingState, snapshots: [Snapshot]) {
    (self.history, self.state, self.snapshots) = (history, state, snapshots)
  }

  /// How many ids each prefix has that one can go on from.
  var readIDs: [Int] {
    guard let state else { return [] }
    return state.recurrent.isEmpty ? [history.ids.count] : snapshots.map(\.idCount)
  }

  /// Bytes of device memory held.
  var byteCount: Int {
    guard let state else { return 0 }
    let recurrent = (snapshots.dropLast().flatMap(\.recurrent)).reduce(0) { $0 + $1.byteCount }
    return state.byteCount + recurrent
  }

  /// A state to go on with, and how many ids of `prompt` it has read, not all; nil when there is
  /// none.
  mutating func resume(
    _ prompt: ChatHistory, tokensPerPicture: Int
  ) -> (state: DecodingState, readIDs: Int)? {
    goBack(toPrefixOf: prompt, tokensPerPicture: tokensPerPicture)
    return state.map { ($0.copyingRecurrent(), history.ids.count) }
  }

  /// Goes back to the longest prefix of `prompt` that has a state, and forgets longer ones: what is
  /// read next takes their rows.
  mutating func goBack(toPrefixOf prompt: ChatHistory, tokensPerPicture: Int) {
    // The last id is read in any case: its row says what follows.
    let common = min(history.commonPrefix(with: prompt), prompt.ids.count - 1)
    guard let state, let snapshot = snapshot(within: common, tokensPerPicture) else {
      return removeAll()
    }
    snapshots.removeAll { $0.idCount > snapshot.idCount }
    history = history.prefix(snapshot.idCount)
    self.state = state.cut(to: snapshot.position, recurrent: snapshot.recurrent)
  }

  /// The last snapshot of at most `idCount` ids, which are a prefix of the history.
  private func snapshot(within idCount: Int, _ tokensPerPicture: Int) -> Snapshot? {
    guard state?.recurrent.isEmpty == true else { return snapshots.last { $0.idCount <= idCount } }
    guard idCount > 0 else { return nil }
    let position = history.prefix(idCount).rows(tokensPerPicture: tokensPerPicture)
    return Snapshot(idCount: idCount, position: position, recurrent: [])
  }

  /// Takes a snapshot of a state that has read `history`, which begins with what was resumed. The
  /// state may be moved on afterwards.
  mutating func keep(_ state: DecodingState, reading history: ChatHistory) {
    let kept = state.copyingRecurrent()
    (self.state, self.history) = (kept, history)
    guard !kept.recurrent.isEmpty, snapshots.last?.idCount != history.ids.count else { return }
    snapshots.append(
      Snapshot(
        idCount: history.ids.count, position: kept.position, recurrent: kept.recurrent))
  }

  /// Forgets the oldest snapshot; says whether there was one beside the newest.
  mutating func removeOldestSnapshot() -> Bool {
    guard snapshots.count > 1 else { return false }
    snapshots.removeFirst()
    return true
  }

  mutating func removeAll() { self = PrefixStates() }
}
