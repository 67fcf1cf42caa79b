import MaTVLMTensor

/// Keys and values of one sequence in one attention layer. Rows are added in place; copying the
/// struct shares them, ``copy()`` does not.
public struct KeyValueCache: Sendable {
  /// [capacity, G·P]; the first ``count`` rows are in use.
  package private(set) var keys: Tensor
  package private(set) var values: Tensor
  /// Rows in use.
  public private(set) var count = 0

  init(width: Int, capacity: Int, _ type: DType, on device: Device) {
    require(
      device.backend.cacheTypes.contains(type), "KeyValueCache: \(type) on \(device)")
    keys = .zeros([capacity, width], type, on: device)
    values = .zeros([capacity, width], type, on: device)
  }

  /// Keys and values of all rows so far, [rows, G·P] each; there is room for no more.
  package init(keys: Tensor, values: Tensor) {
    require(
      keys.shape == values.shape, "KeyValueCache: keys \(keys.shape), values \(values.shape)")
    (self.keys, self.values) = (keys, values)
    count = keys.shape.rows
  }

  public var capacity: Int { keys.shape.rows }

  /// The type of keys and values.
  package var type: DType { keys.dtype }

  /// Columns of keys, and of values.
  package var width: Int { keys.shape.width }

  /// [count, G·P]: the rows in use, where they lie.
  package var usedKeys: Tensor { keys.firstRows(count) }
  /// [count, G·P]
  package var usedValues: Tensor { values.firstRows(count) }

  /// Bytes of device memory held.
  public var byteCount: Int { 2 * keys.shape.count * keys.dtype.byteCount }

  /// Makes room for `rows` more rows; grows by half at least, so that long answers copy rarely.
  package mutating func reserve(_ rows: Int) {
    guard count + rows > capacity else { return }
    let grown = max(count + rows, capacity + capacity / 2)
    let old = Tensor(indices: Array(0..<capacity), on: keys.device)
    (keys, values) = (Self.grown(keys, old, grown), Self.grown(values, old, grown))
  }

  /// The rows `old` and zeros after them, [count, G·P].
  private static func grown(_ cache: Tensor, _ old: Tensor, _ count: Int) -> Tensor {
    let (backend, type) = (cache.backend, cache.backend.activationType)
    guard cache.dtype != type else { return backend.scatterAddRows(cache, old, count: count) }
    // Activations hold every value of a narrower cache.
    let rows = backend.scatterAddRows(backend.convert(cache, to: type), old, count: count)
    return backend.convert(rows, to: cache.dtype)
  }

  /// Counts rows that were appended.
  package mutating func advance(_ rows: Int) { count += rows }

  /// Forgets all but the first `count` rows.
  /// - Precondition: there are that many.
  public mutating func truncate(to count: Int) {
    require(0...self.count ~= count, "KeyValueCache: \(self.count) rows cut to \(count)")
    self.count = count
  }

  /// A cache of the same rows that shares nothing with this one.
  public func copy() -> KeyValueCache {
    var copy = self
    copy.keys = keys.backend.convert(keys, to: keys.dtype)
    copy.values = values.backend.convert(values, to: values.dtype)
    return copy
  }
}
