/// Byte-pair encoding of one word: a table of merges, and their application in order of rank.
struct BytePairMerges: Sendable {
  /// A merge of two tokens, both given by id, into the token `result`.
  struct Merge: Sendable {
    let left: Int
    let right: Int
    let result: Int
  }

  /// The merges, best first; a merge's index is its rank.
  let merges: [Merge]
  /// The token of each byte, 256 of them.
  private let byteTokens: [Int]
  private let ranks: [UInt64: Int]

  /// - Precondition: ids are at least 0 and below 2³²; `byteTokens` has 256.
  init(_ merges: [Merge], byteTokens: [Int]) {
    precondition(byteTokens.count == 256, "BytePairMerges: \(byteTokens.count) byte tokens")
    self.merges = merges
    self.byteTokens = byteTokens
    // A pair listed twice counts at its last rank, as in Hugging Face's readers.
    ranks = Dictionary(
      merges.enumerated().map { (Self.key($1.left, $1.right), $0) }, uniquingKeysWith: { $1 })
  }

  private static func key(_ left: Int, _ right: Int) -> UInt64 {
    UInt64(left) << 32 | UInt64(right)
  }

  /// Appends the tokens of `word` to `ids`.
  ///
  /// The merge of the lowest rank goes first, the leftmost of equals. With the symbols in a linked
  /// list and the candidates in a heap, n bytes take O(n log n) steps.
  func encode(_ word: ArraySlice<UInt8>, into ids: inout [Int]) {
    var symbols = SymbolList(word.map { byteTokens[Int($0)] })
    var candidates = MinimumHeap()
    func consider(_ left: Int?) {
      guard let left, let right = symbols.next(left),
        let rank = ranks[Self.key(symbols.ids[left], symbols.ids[right])]
      else { return }
      // Rank in the high half, place in the low one: the heap orders by rank, then from the left.
      candidates.push(UInt64(rank) << 32 | UInt64(left))
    }
    for index in symbols.ids.indices { consider(index) }
    while let candidate = candidates.pop() {
      let (rank, left) = (Int(candidate >> 32), Int(candidate & 0xFFFF_FFFF))
      let merge = merges[rank]
      // A neighbour may have been merged away since the candidate was found.
      guard symbols.ids[left] == merge.left, let right = symbols.next(left),
        symbols.ids[right] == merge.right
      else { continue }
      symbols.join(left, right, as: merge.result)
      consider(symbols.previous(left))
      consider(left)
    }
    symbols.append(to: &ids)
  }
}

/// Tokens of a word in order; two neighbours can be joined in constant time.
private struct SymbolList {
  /// −1 marks a symbol that was joined to its left neighbour.
  private(set) var ids: [Int]
  private var nextIndex: [Int]
  private var previousIndex: [Int]

  init(_ ids: [Int]) {
    self.ids = ids
    nextIndex = Array(1..<ids.count + 1)
    previousIndex = Array(-1..<ids.count - 1)
  }

  func next(_ index: Int) -> Int? { nextIndex[index] < ids.count ? nextIndex[index] : nil }
  func previous(_ index: Int) -> Int? { previousIndex[index] >= 0 ? previousIndex[index] : nil }

  mutating func join(_ left: Int, _ right: Int, as id: Int) {
    ids[left] = id
    ids[right] = -1
    nextIndex[left] = nextIndex[right]
    if let following = next(left) { previousIndex[following] = left }
  }

  func append(to result: inout [Int]) {
    var index: Int? = ids.isEmpty ? nil : 0
    while let here = index {
      result.append(ids[here])
      index = next(here)
    }
  }
}

/// A binary heap that gives its smallest number first.
private struct MinimumHeap {
  private var items: [UInt64] = []

  mutating func push(_ item: UInt64) {
    items.append(item)
    var child = items.count - 1
    while child > 0, items[child] < items[(child - 1) / 2] {
      items.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> UInt64? {
    guard let smallest = items.first, let last = items.popLast() else { return nil }
    if items.isEmpty { return smallest }
    items[0] = last
    var parent = 0
    while true {
      let children = (2 * parent + 1..<min(2 * parent + 3, max(items.count, 2 * parent + 1)))
      guard let least = children.min(by: { items[$0] < items[$1] }), items[least] < items[parent]
      else { return smallest }
      items.swapAt(parent, least)
      parent = least
    }
  }
}
