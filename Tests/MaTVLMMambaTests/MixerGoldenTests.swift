import MaTVLMMamba
import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Mamba-2 mixers against PyTorch")
struct MixerGoldenTests {
  @Test("outputs and every gradient", arguments: CPUVariant.all, GoldenMixer.tags)
  func gradients(_ variant: CPUVariant, _ tag: String) throws {
    let golden = try GoldenMixer(tag)
    let mixer = try golden.mixer(variant.device)
    let u = Parameter("u", try golden.rows("u", variant.device))
    for parameter in mixer.parameters + [u] { parameter.isTrainable = true }
    let segments = Segments(repeating: try golden.length, count: 2)
    let y = mixer(u.value, SequenceLayout(segments, on: variant.device))
    #expect(mismatch(y.array(), try golden.values("y"), relativeL2: 1e-5) == nil)

    let gradients = MaTVLMTensor.gradients(of: [(y, try golden.rows("dy", variant.device))])
    let du = try #require(gradients[u])
    #expect(mismatch(du.array(), try golden.values("du"), relativeL2: 1e-4) == nil)
    #expect(Set(golden.gradientNames) == Set(mixer.parameters.map(\.name)))
    for parameter in mixer.parameters {
      let found = try #require(gradients[parameter], "\(parameter.name)")
      let wrong = mismatch(
        found.array(), try golden.gradient(parameter.name), relativeL2: 1e-4)
      #expect(wrong == nil, "\(parameter.name)")
    }
  }

  @Test(
    "outputs and last states of one call, of steps and of pieces", arguments: CPUVariant.all,
    GoldenMixer.tags)
  func states(_ variant: CPUVariant, _ tag: String) throws {
    let golden = try GoldenMixer(tag)
    let (mixer, length) = (try golden.mixer(variant.device), try golden.length)
    let u = try golden.rows("u", variant.device)
    let splits = [
      [length], Array(repeating: 1, count: length), [length / 3, 0, length - length / 3],
      [1, length - 1], [length - 1, 1],
    ]
    for split in splits {
      let states = (0..<2).map { _ in Mamba2State(golden.configuration, on: variant.device) }
      var outputs: [[Float]] = [[], []]
      var start = 0
      for piece in split {
        let rows = (0..<2).flatMap { sequence in
          (start..<start + piece).map { sequence * length + $0 }
        }
        let layout = SequenceLayout(
          Segments(repeating: piece, count: 2), past: [start, start], on: variant.device)
        let y = mixer(
          gatherRows(u, Tensor(indices: rows, on: variant.device)), layout, states: states
        ).array()
        outputs[0] += y[..<(y.count / 2)]
        outputs[1] += y[(y.count / 2)...]
        start += piece
      }
      let label = "split \(split)"
      let (tails, scans) = (try golden.tails(), try golden.states())
      let y = try golden.values("y")
      #expect(mismatch(outputs[0] + outputs[1], y, relativeL2: 1e-5) == nil, "\(label)")
      for (index, state) in states.enumerated() {
        #expect(mismatch(state.tail.array(), tails[index], relativeL2: 1e-5) == nil, "\(label)")
        #expect(mismatch(state.state.array(), scans[index], relativeL2: 1e-5) == nil, "\(label)")
      }
    }
  }

  @Test("sequences together are computed as if each were alone", arguments: CPUVariant.all)
  func packed(_ variant: CPUVariant) throws {
    let golden = try GoldenMixer("grouped")
    let mixer = try golden.mixer(variant.device)
    let u = try golden.rows("u", variant.device)
    let segments = Segments([70, 1, 0, 60, 9])
    let together = mixer(u, SequenceLayout(segments, on: variant.device))
    var alone: [Float] = []
    for (start, length) in zip(segments.starts, segments.lengths) {
      alone += mixer(
        u.rows(start..<start + length), SequenceLayout(Segments([length]), on: variant.device)
      ).array()
    }
    #expect(mismatch(together.array(), alone, relativeL2: 1e-6) == nil)
  }

  @Test("sequences that go on together keep their own states")
  func unequalStates() throws {
    let golden = try GoldenMixer("plain")
    let mixer = try golden.mixer(.cpu)
    let u = try golden.rows("u", .cpu)
    let states = (0..<2).map { _ in Mamba2State(golden.configuration, on: .cpu) }
    // The first sequence is 20 rows ahead of the second.
    let ahead = mixer(
      u.rows(0..<20), SequenceLayout(Segments([20]), on: .cpu), states: [states[0]])
    let rows = Tensor(indices: Array(20..<37) + Array(37..<50))
    let layout = SequenceLayout(Segments([17, 13]), past: [20, 0], on: .cpu)
    let both = mixer(gatherRows(u, rows), layout, states: states).array()
    let (y, width) = (try golden.values("y"), 64)
    #expect(mismatch(ahead.array() + both, Array(y[..<(50 * width)]), relativeL2: 1e-5) == nil)
  }

  @Test("a copied state goes its own way; states do not grow")
  func copies() throws {
    let golden = try GoldenMixer("plain")
    let mixer = try golden.mixer(.cpu)
    let u = try golden.rows("u", .cpu)
    let one = SequenceLayout(Segments([1]), past: [10], on: .cpu)
    let state = Mamba2State(golden.configuration, on: .cpu)
    let size = state.byteCount
    _ = mixer(u.rows(0..<10), SequenceLayout(Segments([10]), on: .cpu), states: [state])
    let copy = state.copy()
    _ = mixer(u.rows(30..<31), one, states: [copy])
    let next = mixer(u.rows(10..<11), one, states: [state]).array()
    let y = try golden.values("y")
    #expect(mismatch(next, Array(y[640..<704]), relativeL2: 1e-5) == nil)
    #expect(state.byteCount == size && size == 4 * (3 * 192 + 4 * 16 * 16))
  }
}
