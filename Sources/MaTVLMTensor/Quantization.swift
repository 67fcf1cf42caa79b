/// How a matrix of weights is rounded to a few bits: each row is cut into groups, and a weight is its
/// group's scale times a small integer, weight ≈ scale · code.
public struct Quantization: Sendable, Hashable, CustomStringConvertible {
  /// The integers, by their number of bits.
  public enum Code: Int, Sendable, Hashable, CaseIterable {
    /// −8…7
    case int4 = 4
    /// −127…127
    case int8 = 8
  }

  public let code: Code
  /// Weights that share a scale.
  public let group: Int

  /// What ``group`` can be.
  public static let groups = [32, 64, 128, 256]

  /// - Parameter group: nil: 64 for int8 and 32 for int4.
  /// - Precondition: the group is one of ``groups``.
  public init(_ code: Code, group: Int? = nil) {
    let group = group ?? (code == .int8 ? 64 : 32)
    require(Self.groups.contains(group), "Quantization: groups of \(group)")
    (self.code, self.group) = (code, group)
  }

  public var description: String { "\(code) in groups of \(group)" }
}

/// Where codes and scales of a quantised matrix lie, in memory and in files.
///
/// Panels of 16 rows, so that one instruction multiplies four neighbouring columns of all of them.
/// First the codes, whose bytes are whole cache lines:
/// - int8: code + 128 as bytes [panels, columns / 4, 16, 4];
/// - int4: code + 8 in half bytes [panels, columns / 8, 16, 4]; of each eight columns the low halves
///   hold the first four, the high halves the others.
///
/// Then the scales, bfloat16 [panels, groups, 16]. A file that has both parts in this order, one
/// directly behind the other, is used where it is mapped.
///
/// Rows are filled up to whole panels and columns to whole groups. What is stored there counts as
/// nothing.
package struct QuantizedLayout: Sendable {
  package static let panelRows = 16

  package let quantization: Quantization
  package let panels: Int
  package let groups: Int

  /// - Parameter shape: of the matrix; all dimensions but the first are columns.
  package init(_ shape: Shape, _ quantization: Quantization) {
    self.quantization = quantization
    panels = (shape.rows + Self.panelRows - 1) / Self.panelRows
    groups = (shape.width + quantization.group - 1) / quantization.group
  }

  /// Columns, filled up.
  package var width: Int { groups * quantization.group }

  package var scalesShape: Shape { [panels, groups, Self.panelRows] }
  package var codesShape: Shape {
    [panels, width * quantization.code.rawValue / 32, Self.panelRows, 4]
  }

  /// Where scales begin.
  package var scalesOffset: Int { codesShape.count }
  package var byteCount: Int { scalesOffset + 2 * scalesShape.count }
}
