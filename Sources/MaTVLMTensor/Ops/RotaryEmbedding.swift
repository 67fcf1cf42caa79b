import Foundation
import Synchronization

/// Rotary position embedding of part of each head (Su et al. 2021, arXiv:2104.09864), half-split
/// pairs: columns i and i + width/2 turn by position · base^(−2i/width).
///
/// The cosines and sines are computed once in double precision, so they are the same on every
/// device, and grow with the longest sequence seen.
public final class RotaryEmbedding: Sendable {
  /// Columns of a head that turn; the rest passes through.
  public let width: Int
  public let base: Double
  private let device: Device
  /// The newest last; older ones stay, because recorded work may go on reading them.
  private let tables: Mutex<[Tensor]>

  /// - Precondition: `width` is even.
  public init(width: Int, base: Double, on device: Device) {
    require(width % 2 == 0, "RotaryEmbedding: width \(width) is odd")
    (self.width, self.base, self.device) = (width, base, device)
    tables = Mutex([Self.table(width: width, base: base, positions: 512, on: device)])
  }

  /// Cosines and sines float32 [at least `positions`, width].
  package func table(positions: Int) -> Tensor {
    tables.withLock { tables in
      let rows = tables.last!.shape.rows
      if rows < positions {
        let grown = max(positions, 2 * rows)
        tables.append(Self.table(width: width, base: base, positions: grown, on: device))
      }
      return tables.last!
    }
  }

  private static func table(width: Int, base: Double, positions: Int, on device: Device) -> Tensor {
    let half = width / 2
    var values = [Float](repeating: 0, count: positions * width)
    let frequencies = (0..<half).map { pow(base, -2 * Double($0) / Double(width)) }
    for position in 0..<positions {
      for (i, frequency) in frequencies.enumerated() {
        let angle = Double(position) * frequency
        values[position * width + i] = Float(cos(angle))
        values[position * width + half + i] = Float(sin(angle))
      }
    }
    return Tensor(values, [positions, width], on: device)
  }
}

/// Turns the heads of x by the angles of their rows' positions.
///
/// - Parameters:
///   - x: [T, heads · P]
///   - table: from ``RotaryEmbedding/table(positions:)``, with more rows than the largest position.
///   - positions: int32 [T]
/// - Returns: [T, heads · P]
package func rotate(_ x: Tensor, _ table: Tensor, positions: Tensor, heads: Int) -> Tensor {
  x.backend.rotate(x, table, positions: positions, heads: heads, inverse: false)
    .recording("rotate", [x]) { dy in
      [dy.backend.rotate(dy, table, positions: positions, heads: heads, inverse: true)]
    }
}
