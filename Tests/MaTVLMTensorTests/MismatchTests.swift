import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Comparisons see what is wrong")
struct MismatchTests {
  @Test func equalNumbers() {
    #expect(mismatch([1, -2, .infinity], [1, -2, .infinity], relativeL2: 0) == nil)
    #expect(mismatch([], [], relativeL2: 0) == nil)
  }

  @Test func worstElement() throws {
    let found = try #require(mismatch([1, 2, 3.5, 4.1], [1, 2, 3, 4], relativeL2: 0.01))
    #expect(found.index == 2)
    #expect(found.value == 3.5)
    #expect(found.expected == 3)
    #expect(mismatch([1, 2, 3.5, 4.1], [1, 2, 3, 4], relativeL2: 0.1) == nil)
  }

  @Test func notANumber() throws {
    let found = try #require(mismatch([1, .nan], [1, 2], relativeL2: 1000))
    #expect(found.index == 1)
    #expect(mismatch([1, .nan], [1, .nan], relativeL2: 1000) != nil)
    #expect(mismatch([1, .infinity], [1, 2], relativeL2: 1000) != nil)
  }

  @Test func otherCounts() throws {
    let found = try #require(mismatch([1], [1, 2], relativeL2: 1000))
    #expect(found.index == 1)
    #expect(found.value == nil)
    #expect(found.expected == 2)
  }

  @Test func otherShapes() {
    let (a, b) = (Tensor([1, 2], [1, 2]), Tensor([1, 2], [2, 1]))
    #expect(mismatch(a, b, relativeL2: 1000) != nil)
    #expect(mismatch(a, a, relativeL2: 0) == nil)
  }

  @Test func floorExcusesWhatIsSmall() {
    #expect(mismatch([1e-7], [0], relativeL2: 1e-5) != nil)
    #expect(mismatch([1e-7], [0], relativeL2: 1e-5, floor: 0.1) == nil)
  }
}
