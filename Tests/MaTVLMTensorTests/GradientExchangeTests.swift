import MaTVLMTensor
import MaTVLMTestSupport
import Synchronization
import Testing

@Suite("Gradients that are handed over while the backward pass goes on")
struct GradientExchangeTests {
  /// What happened, in order.
  private final class Log: Sendable {
    private let lines = Mutex<[String]>([])
    func append(_ line: String) { lines.withLock { $0.append(line) } }
    var all: [String] { lines.withLock { $0 } }
  }

  private let device = Device(ReferenceBackend())
  private let log = Log()
  private var ranks: RecordingRanks { RecordingRanks { [log] _ in log.append("given") } }

  private func parameter(_ values: [Float], _ shape: Shape = [1]) -> Parameter {
    let parameter = Parameter("p", Tensor(values, shape, on: device))
    parameter.isTrainable = true
    return parameter
  }

  /// The sum of `inputs`, whose gradient says when it is taken.
  /// - Parameter open: whether there is a gradient of the first input.
  private func operation(_ name: String, _ inputs: [Tensor], open: Bool = true) -> Tensor {
    let sum = inputs.dropFirst().reduce(inputs[0].detached) { $0 + $1.detached }
    let count = inputs.count
    return sum.recording("operation", inputs) { [log] dy in
      log.append(name)
      return (0..<count).map { $0 > 0 || open ? dy : nil }
    }
  }

  @Test("Each comes as soon as the oldest operation that uses its parameter was swept")
  func order() throws {
    let p = (0..<4).map { parameter([Float($0)]) }
    let a = operation("a", [p[0].value, p[3].value])
    let b = operation("b", [a, p[1].value])
    let c = operation("c", [b, p[2].value, p[0].value])
    let exchange = GradientExchange(over: ranks)
    var rest = Gradients()
    rest.add(of: c, handingTo: exchange)
    #expect(log.all == ["c", "given", "b", "given", "a", "given", "given"])
    #expect(exchange.order(among: p) == [2, 1, 0, 3])
    #expect(exchange.order(among: [p[1]]) == [-1, 0, -1, -1])
    let sums = exchange.finish()
    #expect(p.map { sums[$0]?.item() } == [2, 1, 1, 1])
    #expect(p.allSatisfy { rest[$0] == nil })
  }

  @Test("Where an older operation has no gradient it comes at the end; without any, not at all")
  func unreached() {
    let p = (0..<3).map { parameter([Float($0)]) }
    let a = operation("a", [p[0].value, p[1].value])
    let b = operation("b", [a, p[1].value], open: false)
    let exchange = GradientExchange(over: ranks)
    var rest = Gradients()
    rest.add(of: operation("c", [b, p[2].value]), handingTo: exchange)
    #expect(log.all == ["c", "given", "b", "given"])
    #expect(exchange.order(among: p) == [2, 1])
    let sums = exchange.finish()
    #expect(p.map { sums[$0]?.item() } == [nil, 1, 1])
  }

  @Test("What earlier passes gave is added; what they alone gave stays")
  func earlier() {
    let p = (0..<3).map { parameter([Float($0)]) }
    var earlier = gradients(of: p[0].value * 5 + p[2].value * 7)
    let exchange = GradientExchange(over: ranks, adding: &earlier)
    #expect(earlier[p[0]] == nil)
    var layers = gradients(of: p[1].value * 3)
    layers.add(of: p[0].value * 2 + p[1].value * 4, handingTo: exchange)
    #expect(p.map { exchange.earlier[$0]?.item() } == [nil, nil, 7])
    #expect(p.allSatisfy { layers[$0] == nil })
    let sums = exchange.finish()
    #expect(p.map { sums[$0]?.item() } == [7, 7, nil])
    #expect(log.all == ["given", "given"])
  }

  /// A loss whose gradients are partly taken by inner passes.
  private func loss(_ p: [Parameter]) -> Tensor {
    @Sendable func block(_ x: Tensor) -> Tensor {
      x + linear(activate(linear(x, p[1].value), .geluTanh), p[2].value)
    }
    let once = recomputing(p[0].value, [p[1], p[2]], block)
    let twice = recomputing(once, [p[1], p[2]], block)
    let weights = Tensor([1], [1], on: device)
    return summing(3, [twice, p[3].value]) { inputs, part in
      let y = (inputs[0] * Float(part + 1)) * inputs[1]
      return distance(
        y, to: .zeros(y.shape, on: y.device), Segments([y.shape.rows]), weights: weights
      ).total
    }
  }

  private func parameters(seed: UInt64) -> [Parameter] {
    var random = RandomGenerator(seed: seed)
    return ([[5, 4], [6, 4], [4, 6], [5, 4]] as [Shape]).map { shape in
      parameter((0..<shape.count).map { _ in Float(random.normal()) }, shape)
    }
  }

  @Test("Gradients that recomputing and summing take themselves are not handed over, but theirs")
  func inner() throws {
    let p = parameters(seed: 5)
    let expected = gradients(of: loss(p))
    let exchange = GradientExchange(over: ranks)
    var rest = Gradients()
    rest.add(of: loss(p), handingTo: exchange)
    #expect(log.all.count == 4)
    #expect(exchange.order(among: p) == [3, 0, 1, 2])
    let sums = exchange.finish()
    for parameter in p {
      #expect(try #require(sums[parameter]).array() == #require(expected[parameter]).array())
    }
  }

  @Test("Several ranks: the bits of sums in rank order, whatever the parameters' places in time")
  func severalRanks() throws {
    let results = ThreadRanks.run(3) { ranks in
      let p = parameters(seed: UInt64(ranks.rank))
      let own = gradients(of: loss(p))
      let exchange = GradientExchange(over: ranks)
      var rest = Gradients()
      rest.add(of: loss(p), handingTo: exchange)
      let order = exchange.order(among: p)
      let sums = exchange.finish()
      return (own: p.map { own[$0]!.array() }, order: order, sums: p.map { sums[$0]!.array() })
    }
    let outcomes = try results.map { try $0.get() }
    let expected = (0..<4).map { place in
      outcomes.dropFirst().reduce(outcomes[0].own[place]) { sum, other in
        zip(sum, other.own[place]).map { $0 + $1 }
      }
    }
    for outcome in outcomes {
      #expect(outcome.sums == expected && outcome.order == [3, 0, 1, 2])
    }
  }
}
