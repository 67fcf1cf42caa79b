/// A device's name for a piece of its memory: an address on the CPU, a device pointer on a GPU.
package struct Memory: Sendable, Hashable {
  package let bits: UInt
  package init(bits: UInt) { self.bits = bits }
}

/// Device memory with one owner, given back when the last tensor that uses it goes away.
package final class Storage: Sendable {
  package let backend: any Backend
  package let memory: Memory
  package let byteCount: Int
  /// Keeps foreign memory (a mapped file) alive; nil when the memory came from `backend`.
  private let lender: (any AnyObject & Sendable)?

  /// New memory with undefined content.
  package init(_ backend: any Backend, byteCount: Int) {
    self.backend = backend
    self.byteCount = byteCount
    memory = backend.allocate(byteCount: byteCount)
    lender = nil
  }

  /// Memory that somebody else owns, read-only.
  package init(
    _ backend: any Backend, borrowing memory: Memory, byteCount: Int,
    from lender: any AnyObject & Sendable
  ) {
    self.backend = backend
    self.memory = memory
    self.byteCount = byteCount
    self.lender = lender
  }

  /// Whether this memory belongs to a mapped file and must not be written.
  package var isBorrowed: Bool { lender != nil }

  deinit {
    if lender == nil { backend.free(memory, byteCount: byteCount) }
  }
}
