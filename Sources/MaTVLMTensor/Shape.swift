/// The extent of a tensor, outermost dimension first. Storage is contiguous and row-major.
///
/// Activations are rows of tokens, `[T, width]`: sequences lie end to end and ``Segments`` says
/// where each begins. There is no batch dimension.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
  public let dimensions: [Int]

  /// - Precondition: no dimension is negative, and the product fits an `Int`.
  public init(_ dimensions: [Int]) {
    var count = 1
    for dimension in dimensions {
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      require(dimension >= 0 && !overflow, "Shape: \(dimensions) is not an extent")
      count = product
    }
    self.dimensions = dimensions
    self.count = count
    rows = dimensions.first ?? 1
    width = dimensions.dropFirst().reduce(1, *)
  }

  public init(arrayLiteral dimensions: Int...) { self.init(dimensions) }

  /// The number of elements.
  public let count: Int

  /// The outermost extent: the number of rows of a matrix, the length of a vector.
  public let rows: Int

  /// Elements per row: everything but the outermost extent.
  public let width: Int

  public subscript(_ index: Int) -> Int { dimensions[index] }

  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }
}
