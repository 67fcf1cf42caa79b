/// Rows of numbers in double precision: what the reference computes with.
struct Grid {
  let width: Int
  var values: [Double]

  init(width: Int, _ values: [Double]) {
    self.width = width
    self.values = values
  }

  init(zeros rows: Int, _ width: Int) {
    self.init(width: width, Array(repeating: 0, count: rows * width))
  }

  /// Number `index` of all rows, or of a vector.
  subscript(_ index: Int) -> Double {
    get { values[index] }
    set { values[index] = newValue }
  }

  subscript(_ row: Int, _ column: Int) -> Double {
    get { values[row * width + column] }
    set { values[row * width + column] = newValue }
  }

  func row(_ row: Int) -> ArraySlice<Double> { values[row * width..<(row + 1) * width] }
}
