extension RGBImage {
  /// The picture at another size, the aspect ignored: equal, pixel by pixel, to Pillow 13's
  /// `resize((width, height), Image.Resampling.BICUBIC)` (its `Resample.c`).
  ///
  /// One pass along the rows, one along the columns, each rounded to 8 bits; so their order shows.
  ///
  /// - Precondition: both sides are positive.
  public func resized(width newWidth: Int, height newHeight: Int) -> RGBImage {
    precondition(
      newWidth > 0 && newHeight > 0, "resized: \(newWidth) x \(newHeight) is not a size")
    // Pillow's rule since version 13: columns first where they lose more than twice what rows do.
    // Before, rows always came first.
    let lostRows = height - newHeight
    if lostRows > 0 && lostRows > 2 * (width - newWidth) {
      return resized(height: newHeight).resized(width: newWidth)
    }
    return resized(width: newWidth).resized(height: newHeight)
  }

  /// `[H, W, 3]` → `[H, W', 3]`
  private func resized(width newWidth: Int) -> RGBImage {
    if newWidth == width { return self }
    let windows = ResamplingWindows(from: width, to: newWidth)
    let result = windows.resampleRows(pixels, count: height)
    return RGBImage(width: newWidth, height: height, pixels: result)
  }

  /// `[H, W, 3]` → `[H', W, 3]`
  private func resized(height newHeight: Int) -> RGBImage {
    if newHeight == height { return self }
    let windows = ResamplingWindows(from: height, to: newHeight)
    let result = windows.resampleColumns(pixels, rowLength: width * 3)
    return RGBImage(width: width, height: newHeight, pixels: result)
  }
}

/// For each place along one side of the result: which places of the source it is made of, and in
/// what proportion.
private struct ResamplingWindows {
  /// Bits after the point of a coefficient: 8 bits of pixel and 2 of head room are left in 32.
  static let precision: Int32 = 32 - 8 - 2
  private static let half = Int32(1) << (precision - 1)

  private var starts: [Int] = []
  private var counts: [Int] = []
  /// `[result, widest window]`, fixed point.
  private var coefficients: [Int32] = []
  private let widest: Int
  /// Places of the source.
  private let length: Int

  /// Reducing stretches the filter over all the pixels that fall together (no aliasing);
  /// enlarging uses it as it is.
  init(from source: Int, to result: Int) {
    length = source
    let scale = Double(source) / Double(result)
    let stretch = max(scale, 1)
    let support = 2 * stretch
    widest = Int(support.rounded(.up)) * 2 + 1
    coefficients = [Int32](repeating: 0, count: result * widest)
    for place in 0..<result {
      let centre = (Double(place) + 0.5) * scale
      let start = max(Int(centre - support + 0.5), 0)
      let end = min(Int(centre + support + 0.5), source)
      let weights = (start..<end).map {
        Self.bicubic((Double($0) - centre + 0.5) * (1 / stretch))
      }
      let sum = weights.reduce(0, +)
      for (offset, weight) in weights.enumerated() {
        let share = (sum == 0 ? weight : weight / sum) * Double(1 << Self.precision)
        coefficients[place * widest + offset] = Int32(share < 0 ? share - 0.5 : share + 0.5)
      }
      starts.append(start)
      counts.append(end - start)
    }
  }

  /// Keys' cubic convolution with a = -1/2.
  private static func bicubic(_ x: Double) -> Double {
    let (a, x) = (-0.5, abs(x))
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
    return 0
  }

  private static func rounded(_ sum: Int32) -> UInt8 {
    UInt8(clamping: sum >> precision)
  }

  /// Along rows: `[rows, from, 3]` → `[rows, to, 3]`.
  func resampleRows(_ source: [UInt8], count rows: Int) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: rows * starts.count * 3)
    source.withUnsafeBufferPointer { source in
      for row in 0..<rows {
        for (place, start) in starts.enumerated() {
          var read = (row * length + start) * 3
          var (red, green, blue) = (Self.half, Self.half, Self.half)
          for coefficient in coefficients[place * widest..<place * widest + counts[place]] {
            red &+= Int32(source[read]) &* coefficient
            green &+= Int32(source[read + 1]) &* coefficient
            blue &+= Int32(source[read + 2]) &* coefficient
            read += 3
          }
          let write = (row * starts.count + place) * 3
          result[write] = Self.rounded(red)
          result[write + 1] = Self.rounded(green)
          result[write + 2] = Self.rounded(blue)
        }
      }
    }
    return result
  }

  /// Along columns: `[from, rowLength]` → `[to, rowLength]`, whole rows at a time.
  func resampleColumns(_ source: [UInt8], rowLength: Int) -> [UInt8] {
    var result = [UInt8](repeating: 0, count: starts.count * rowLength)
    var sums = [Int32](repeating: 0, count: rowLength)
    source.withUnsafeBufferPointer { source in
      for (place, start) in starts.enumerated() {
        for column in 0..<rowLength { sums[column] = Self.half }
        for offset in 0..<counts[place] {
          let coefficient = coefficients[place * widest + offset]
          let row = (start + offset) * rowLength
          for column in 0..<rowLength {
            sums[column] &+= Int32(source[row + column]) &* coefficient
          }
        }
        for column in 0..<rowLength {
          result[place * rowLength + column] = Self.rounded(sums[column])
        }
      }
    }
    return result
  }
}
