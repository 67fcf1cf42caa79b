import MaTVLMTensor

/// Keys and values of one sequence in one attention layer. Rows are added in place; copying the
/// struct shares them, ``copy()`` does not.
public struct KeyValueCache: Sendable {
  /// [capacity, G·P]; the first ``count`` rows are in use, the others undefined.
  package private(set) var keys: Tensor
  package private(set) var values: Tensor
  /// Rows in use.
  public private(set) var count = 0

  /// - Parameter zeroRows: how many are in use already, all zero, for measurements.
  init(width: Int, capacity: Int, zeroRows: Int, _ type: DType, on device: Device) {
    require(
      device.backend.cacheTypes.contains(type) && zeroRows <= capacity,
      "KeyValueCache: \(type) on \(device), \(zeroRows) of \(capacity) rows in use")
    func rows() -> Tensor {
      // What is not written takes no memory on devices whose pages come with the first use.
      zeroRows > 0
        ? .zeros([capacity, width], type, on: device)
        : Tensor(uninitialized: [capacity, width], type, on: device.backend)
    }
    (keys, values) = (rows(), rows())
    count = zeroRows
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
    self = copy(capacity: max(count + rows, capacity + capacity / 2))
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
  public func copy() -> KeyValueCache { copy(capacity: capacity) }

  private func copy(capacity: Int) -> KeyValueCache {
    var copy = self
    copy.keys = Self.copy(usedKeys, capacity: capacity)
    copy.values = Self.copy(usedValues, capacity: capacity)
    return copy
  }

  /// New memory that begins with `rows`, [capacity, G·P].
  private static func copy(_ rows: Tensor, capacity: Int) -> Tensor {
    let (backend, count) = (rows.backend, rows.shape.rows)
    let copy = Tensor(
      uninitialized: [capacity, rows.shape.width], rows.dtype, on: backend)
    guard count > 0 else { return copy }
    // Activations hold every value of a narrower cache.
    let wide =
      rows.dtype == backend.activationType
      ? rows : backend.convert(rows, to: backend.activationType)
    let positions = Tensor(indices: Array(0..<count), on: rows.device)  // [count]
    backend.appendRows(wide, to: [copy], positions: positions, Segments([count]))
    return copy
  }
}
