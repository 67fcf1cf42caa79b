import MaTVLMTensor

/// Rows of prompts that go through a decoder together.
///
/// Activations are as large as a pass has rows, so a long prompt, and many prompts at once, are read
/// in several.
package struct PromptPass: Sendable, Hashable {
  /// Among the rows of all prompts.
  package let rows: Range<Int>
  /// The prompts that have some of them.
  package let prompts: [Int]
  /// How many each of these has.
  package let segments: Segments
  /// Rows of this pass that are the last of their prompt, in the prompts' order.
  package let ends: [Int]

  /// Rows of a pass at most. Its products then compute some twenty times as long as a card takes to
  /// read their weights again, so that more rows would be hardly faster; at Phi-2's width in bfloat16
  /// a block's activations are 0.3 GiB.
  package static let mostRows = 4096

  /// Passes of equal size, one after the other.
  package static func all(
    of prompts: Segments, mostRows: Int = Self.mostRows
  ) -> [PromptPass] {
    let count = prompts.rows == 0 ? 0 : (prompts.rows - 1) / mostRows + 1
    return (0..<count).map { pass in
      PromptPass(
        prompts.rows * pass / count..<prompts.rows * (pass + 1) / count, of: prompts)
    }
  }

  private init(_ rows: Range<Int>, of all: Segments) {
    self.rows = rows
    let shares = zip(all.starts, all.starts.dropFirst()).map {
      ($0..<$1).clamped(to: rows)
    }
    prompts = shares.indices.filter { !shares[$0].isEmpty }
    segments = Segments(prompts.map { shares[$0].count })
    ends = all.starts.dropFirst().map { $0 - 1 }.filter(rows.contains)
      .map { $0 - rows.lowerBound }
  }
}

extension HybridDecoder {
  /// Reads prompts, or what of them the states have not seen.
  ///
  /// - Parameters:
  ///   - images: rows of the pictures of all prompts; nil: there are none.
  ///   - states: one for each prompt, moved on.
  ///   - mostRows: how many go through the decoder together at most.
  ///   - betweenBlocks: called before each block of each pass; what it throws ends the work, and the
  ///     states are of no use then.
  /// - Returns: the final row of each prompt's last row, [S, D].
  /// - Precondition: every prompt has rows.
  package func readPrompts(
    _ prompts: SplicedSequences, images: Tensor?, states: inout [DecodingState],
    mostRows: Int = PromptPass.mostRows, betweenBlocks: () throws -> Void
  ) rethrows -> Tensor {
    let lengths = prompts.segments.lengths
    require(
      states.count == lengths.count && !lengths.contains(0),
      "reading prompts: \(states.count) states, \(lengths) rows")
    // At once, so that caches are not copied to larger ones in every pass.
    for index in states.indices { states[index].reserve(lengths[index]) }
    let device = embedding.weight.value.device
    var last: [Tensor] = []
    for pass in PromptPass.all(of: prompts.segments, mostRows: mostRows) {
      let x = prompts.part(pass.rows, pass.segments).rows(embedding, images: images)  // [T, D]
      var read = pass.prompts.map { states[$0] }
      let layout = SequenceLayout(pass.segments, past: read.map(\.position), on: device)
      let final = try self(x, layout, states: &read, betweenBlocks: betweenBlocks)  // [T, D]
      for (prompt, state) in zip(pass.prompts, read) { states[prompt] = state }
      if !pass.ends.isEmpty {
        last.append(gatherRows(final, Tensor(indices: pass.ends, on: device)))
      }
    }
    return Self.stacked(last)
  }

  /// The rows of all parts, one part after the other.
  private static func stacked(_ parts: [Tensor]) -> Tensor {
    guard parts.count > 1 else { return parts[0] }
    let segments = Segments(parts.map(\.shape.rows))
    let placed = parts.enumerated().map { index, part in
      let rows = segments.starts[index]..<segments.starts[index + 1]
      return scatterRows(
        part, to: Tensor(indices: Array(rows), on: part.device), count: segments.rows)
    }
    return placed.dropFirst().reduce(placed[0], +)
  }
}
