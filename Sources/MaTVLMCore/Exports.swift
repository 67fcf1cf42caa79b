@_exported import MaTVLMDistillation
@_exported import MaTVLMEvaluation
@_exported import MaTVLMImages
@_exported import MaTVLMMamba
@_exported import MaTVLMShapes
@_exported import MaTVLMTensor
@_exported import MaTVLMText
@_exported import MaTVLMTransformer
