import MaTVLMCUDA
import Testing

@Suite struct KernelSourceTests {
  @Test(arguments: KernelFile.allCases) func everyFileIsInTheBinary(file: KernelFile) {
    let text = KernelSource(file, .bfloat16).text
    #expect(text.hasPrefix("#line 1 \"common.cuh\""))
    #expect(text.contains("#line 1 \"\(file.rawValue).cu\""))
    #expect(text.contains("extern \"C\" __global__"))
    #expect(text.contains("beginKernel();"))
  }

  @Test func constantsAreOptions() {
    var source = KernelSource(.attention, .float32)
    source.headWidth = 80
    #expect(source.options.contains("-DELEMENT=float"))
    #expect(source.options.contains("-DHEAD_WIDTH=80"))
  }

  @Test func cacheNamesDependOnEveryPart() {
    let parts = ["13.0", "--gpu-architecture=sm_90a", "text"]
    let name = ContentHash.of(parts)
    #expect(name.count == 32)
    #expect(ContentHash.of(parts) == name)
    for index in parts.indices {
      var other = parts
      other[index] += " "
      #expect(ContentHash.of(other) != name)
    }
    #expect(ContentHash.of(["13.0--gpu-architecture=sm_90a", "text"]) != name)
  }
}
