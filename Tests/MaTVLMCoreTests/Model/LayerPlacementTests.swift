import MaTVLMCore
import Testing

@Suite("Which layers are replaced")
struct LayerPlacementTests {
  @Test(
    "32 layers",
    arguments: [
      (LayerPlacement.even, 0.125, [0, 8, 16, 24]), (.beginning, 0.125, Array(0..<4)),
      (.middle, 0.125, Array(14..<18)), (.end, 0.125, Array(28..<32)),
      (.even, 0.25, Array(stride(from: 0, to: 32, by: 4))), (.beginning, 0.25, Array(0..<8)),
      (.middle, 0.25, Array(12..<20)), (.end, 0.25, Array(24..<32)),
      (.even, 0.5, Array(stride(from: 0, to: 32, by: 2))), (.beginning, 0.5, Array(0..<16)),
      (.middle, 0.5, Array(8..<24)), (.end, 0.5, Array(16..<32)),
    ])
  func table(_ placement: LayerPlacement, _ ratio: Double, _ layers: [Int]) {
    #expect(placement.layers(ratio: ratio, of: 32) == layers)
  }

  @Test("counts that do not divide, and extremes", arguments: LayerPlacement.allCases)
  func counts(_ placement: LayerPlacement) {
    for count in 1...40 {
      #expect(placement.layers(ratio: 1, of: count) == Array(0..<count))
      #expect(placement.layers(ratio: 1e-9, of: count).count == 1)
      for ratio in [0.1, 0.125, 0.25, 1.0 / 3, 0.5, 0.9] {
        let layers = placement.layers(ratio: ratio, of: count)
        #expect(layers == Set(layers).sorted(), "\(placement) \(ratio) of \(count)")
        #expect(layers.allSatisfy((0..<count).contains))
        #expect(layers.count == max(1, Int((ratio * Double(count)).rounded())))
      }
    }
    #expect(LayerPlacement.even.layers(ratio: 0.25, of: 8) == [0, 4])
  }
}
