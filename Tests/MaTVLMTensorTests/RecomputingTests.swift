import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Recomputing gives what plain recording gives")
struct RecomputingTests {
  private struct Block {
    let input, up, down, frozen: Parameter

    init(_ device: Device) {
      var generator = RandomGenerator(seed: 7)
      func parameter(_ shape: Shape, trainable: Bool) -> Parameter {
        let values = (0..<shape.count).map { _ in Float(generator.normal()) }
        let parameter = Parameter("p", Tensor(values, shape, on: device))
        parameter.isTrainable = trainable
        return parameter
      }
      input = parameter([5, 16], trainable: true)
      up = parameter([32, 16], trainable: true)
      down = parameter([16, 32], trainable: true)
      frozen = parameter([16, 16], trainable: false)
    }

    @Sendable func callAsFunction(_ x: Tensor) -> Tensor {
      x + linear(activate(linear(linear(x, frozen.value), up.value), .geluTanh), down.value)
    }

    var parameters: [Parameter] { [up, down, frozen] }
  }

  @Test(arguments: [Device(ReferenceBackend()), .cpu])
  func bitForBit(_ device: Device) throws {
    let block = Block(device)
    let seed = Tensor((0..<80).map { Float($0 % 7) - 3 }, [5, 16], on: device)

    let plain = block(block(block.input.value))
    let plainGradients = gradients(of: [(plain, seed)])
    let once = recomputing(block.input.value, block.parameters) { block($0) }
    let twice = recomputing(once, block.parameters) { block($0) }
    let recomputed = gradients(of: [(twice, seed)])

    #expect(twice.array() == plain.array())
    for parameter in [block.input, block.up, block.down] {
      let gradient = try #require(recomputed[parameter])
      let expected = try #require(plainGradients[parameter])
      #expect(gradient.array() == expected.array())
    }
    #expect(recomputed[block.frozen] == nil)
  }

  @Test("Only the input is kept")
  func keptMemory() {
    let backend = ReferenceBackend()
    let block = Block(Device(backend))
    let before = backend.liveByteCount
    let y = recomputing(block.input.value, block.parameters) { block($0) }
    #expect(withExtendedLifetime(y) { backend.liveByteCount } == before + 5 * 16 * 4)
  }

  @Test("A frozen input has no gradient, and parameters of the block still have theirs")
  func frozenInput() throws {
    let block = Block(Device(ReferenceBackend()))
    block.input.isTrainable = false
    let y = recomputing(block.input.value, block.parameters) { block($0) }
    let result = gradients(of: [(y, y.detached)])
    #expect(result[block.input] == nil)
    #expect(try #require(result[block.up]).shape == [32, 16])
  }
}
