import MaTVLMTensor
import MaTVLMTestSupport
import Testing

@Suite("Backends compute what the reference computes")
struct BackendConformanceTests {
  @Test("Every function of the CPU backend", arguments: CPUVariant.all, OperationCase.all)
  func conformance(_ variant: CPUVariant, _ operation: OperationCase) {
    #expect(conformanceFailures(of: variant.device, cases: [operation]) == [])
  }

  @Test("Results do not depend on the number of threads", arguments: OperationCase.all)
  func threads(_ operation: OperationCase) {
    let one = operation.resultBits(on: CPUVariant.best(threads: 1))
    #expect(operation.resultBits(on: CPUVariant.best(threads: 2)) == one)
    #expect(operation.resultBits(on: CPUVariant.best(threads: 3)) == one)
  }

  @Test("Every case is complete: the reference leaves no result unwritten")
  func completeness() {
    #expect(conformanceFailures(of: Device(ReferenceBackend())) == [])
  }

  @Test("Names are unique, because inputs are drawn from them")
  func names() {
    #expect(Set(OperationCase.all.map(\.name)).count == OperationCase.all.count)
  }

  @Test(
    "A conversion keeps what is not a number, and nothing else becomes it",
    arguments: CPUVariant.all, [DType.float32, .bfloat16, .float16])
  func notANumber(_ variant: CPUVariant, _ dtype: DType) {
    let x = Tensor([.nan, 1, -.nan, .greatestFiniteMagnitude], [4], on: variant.device)
    let narrow = x.backend.convert(x, to: dtype)
    #expect(narrow.array().map(\.isNaN) == [true, false, true, false])
  }
}
