// swift-tools-version: 6.1
import PackageDescription

/// A system library found by pkg-config, with the Debian package that brings it.
func system(_ name: String, pkgConfig: String, apt: String, brew: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt]), .brew([brew])])
}

let package = Package(
  name: "MaTVLM",
  platforms: [.macOS(.v15)],
  products: [
    .library(name: "MaTVLMCore", targets: ["MaTVLMCore"]),
    .executable(name: "matvlm", targets: ["matvlm"]),
  ],
  traits: [
    .trait(name: "MPI", description: "Training by several processes, over Open MPI.")
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
  ],
  targets: [
    // C: system libraries, picture codecs, hot loops.
    system("COpenBLAS", pkgConfig: "openblas", apt: "libopenblas-dev", brew: "openblas"),
    system("CLAPACKE", pkgConfig: "lapacke", apt: "liblapacke-dev", brew: "lapack"),
    system("CJPEG", pkgConfig: "libjpeg", apt: "libjpeg-dev", brew: "jpeg-turbo"),
    system("CPNG", pkgConfig: "libpng", apt: "libpng-dev", brew: "libpng"),
    system("COpenMPI", pkgConfig: "ompi-c", apt: "libopenmpi-dev", brew: "open-mpi"),
    .target(
      name: "CMPIShim",
      dependencies: [.target(name: "COpenMPI", condition: .when(traits: ["MPI"]))],
      cSettings: [.define("MATVLM_MPI", .when(traits: ["MPI"]))]),
    .target(name: "CImageCodecs", dependencies: ["CJPEG", "CPNG"]),
    .target(name: "CMaTVLMKernels"),

    // Text, pictures, benchmarks: no tensors.
    .target(name: "MaTVLMText"),
    .target(name: "MaTVLMImages", dependencies: ["CImageCodecs"]),
    .target(name: "MaTVLMEvaluation", dependencies: ["MaTVLMText", "MaTVLMImages"]),

    // Tensors, gradients, devices, files; and the siblings that build on them.
    .target(name: "MaTVLMTensor", dependencies: ["CMaTVLMKernels", "COpenBLAS", "CLAPACKE"]),
    .target(name: "MaTVLMTransformer", dependencies: ["MaTVLMTensor", "MaTVLMImages"]),
    .target(name: "MaTVLMMamba", dependencies: ["MaTVLMTensor"]),
    .target(name: "MaTVLMDistillation", dependencies: ["MaTVLMTensor"]),
    .target(name: "CMaTVLMCUDASources", exclude: ["Kernels"]),
    .target(name: "MaTVLMCUDA", dependencies: ["CMaTVLMCUDASources", "MaTVLMTensor"]),
    .target(name: "MaTVLMMPI", dependencies: ["CMPIShim", "MaTVLMTensor"]),
    .target(
      name: "MaTVLMShapes", dependencies: ["MaTVLMImages"],
      resources: [.copy("Resources/teacher")]),

    // The assembled model, and the command.
    .target(
      name: "MaTVLMCore",
      dependencies: [
        "MaTVLMText", "MaTVLMImages", "MaTVLMTensor", "MaTVLMTransformer", "MaTVLMMamba",
        "MaTVLMDistillation", "MaTVLMShapes", "MaTVLMEvaluation",
      ]),
    .executableTarget(
      name: "matvlm",
      dependencies: [
        "MaTVLMCore", "MaTVLMCUDA", "MaTVLMMPI",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Yams", package: "Yams"),
      ]),

    .target(
      name: "MaTVLMTestSupport", dependencies: ["MaTVLMCore", "CMaTVLMKernels"],
      path: "Tests/MaTVLMTestSupport", resources: [.copy("Golden"), .copy("PretendedCard")]),
    // For tests of a program that is used at a terminal.
    .target(name: "CPseudoTerminal", path: "Tests/CPseudoTerminal"),
    // Run on a machine with an NVIDIA card by Scripts/gpu-check.
    .executableTarget(
      name: "matvlm-gpu-check", dependencies: ["MaTVLMCore", "MaTVLMCUDA", "MaTVLMTestSupport"],
      path: "Tests/GPUCheck"),
    .testTarget(
      name: "MaTVLMTensorTests",
      dependencies: ["MaTVLMTensor", "CMaTVLMKernels", "MaTVLMTestSupport"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "MaTVLMTextTests", dependencies: ["MaTVLMText", "MaTVLMTestSupport"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "MaTVLMImagesTests", dependencies: ["MaTVLMImages", "MaTVLMTestSupport"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "MaTVLMEvaluationTests", dependencies: ["MaTVLMEvaluation", "MaTVLMTestSupport"],
      resources: [.copy("Fixtures")]),
    .testTarget(
      name: "MaTVLMTransformerTests", dependencies: ["MaTVLMTransformer", "MaTVLMTestSupport"]),
    .testTarget(name: "MaTVLMMambaTests", dependencies: ["MaTVLMMamba", "MaTVLMTestSupport"]),
    .testTarget(
      name: "MaTVLMDistillationTests", dependencies: ["MaTVLMDistillation", "MaTVLMTestSupport"]),
    .testTarget(name: "MaTVLMShapesTests", dependencies: ["MaTVLMShapes", "MaTVLMTestSupport"]),
    .testTarget(name: "MaTVLMCUDATests", dependencies: ["MaTVLMCUDA", "MaTVLMTestSupport"]),
    .testTarget(name: "MaTVLMCoreTests", dependencies: ["MaTVLMCore", "MaTVLMTestSupport"]),
    .testTarget(
      name: "matvlmTests", dependencies: ["matvlm", "CPseudoTerminal", "MaTVLMTestSupport"]),
  ]
)
