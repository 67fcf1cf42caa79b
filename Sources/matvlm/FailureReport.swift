import ArgumentParser
import Foundation
import MaTVLMCUDA
import MaTVLMCore
import MaTVLMImages

/// What a failed command says, and the code it ends with.
struct FailureReport {
  private let error: any Error

  init(_ error: any Error) { self.error = error }

  func exit() -> Never {
    let ending = Ranks.fail(code ?? Matvlm.exitCode(for: error).rawValue)
    guard code != nil || !ending.isSpeaker else {
      Matvlm.exit(withError: error)  // help, version, wrong command lines
    }
    if ending.isSpeaker {
      StandardError.writeAnyway("matvlm: \(ending.isAlone ? Ranks.name : "")\(message)\n")
    }
    if ending.isAlone { Ranks.abort(ending.code) } else { Ranks.finish() }
    Foundation.exit(ending.code)
  }

  /// Whether another input can make it good: what does not end a conversation.
  var isAboutInput: Bool {
    switch error {
    case is OutputError, is CUDAError: false
    default: code != nil
    }
  }

  private var code: Int32? {
    switch error {
    case is ConfigurationError, is TokenizerError, is ImageError, is DatasetError, is SampleError,
      is GenerationError, is PromptFileError, is StudentError, is ShapesResourceError,
      is QuantizationError, is RunFileError, is RunCurvesError, is CalibrationError,
      is PlanError, is TrainingStageError:
      EX_DATAERR
    case SessionError.occupied: EX_CANTCREAT
    case is SessionError: EX_DATAERR
    case let error as CheckpointError: error.isAboutOutput ? EX_CANTCREAT : EX_DATAERR
    case let error as EvaluationError: error.isAboutOutput ? EX_CANTCREAT : EX_DATAERR
    case is UnaskedQuestions: EX_DATAERR
    case is OutputError, is ShapeError: EX_CANTCREAT
    case let error as Interruption: error.exitCode
    case CommunicatorError.tooManyRanks: EX_USAGE
    case CommunicatorError.disagreement: EX_DATAERR
    case is CommunicatorError: EXIT_FAILURE
    case is TrainingError, is CUDAError: EXIT_FAILURE
    case is CocoaError: EX_CANTCREAT
    default: nil
    }
  }

  var message: String {
    guard let error = error as? CocoaError else { return "\(error)" }
    let path = error.filePath ?? error.url?.path ?? ""
    return "\(path): cannot be written: \(error.systemReason)"
  }
}

extension CheckpointError {
  fileprivate var isAboutOutput: Bool {
    switch self {
    case .unwritable, .occupied, .leftover: true
    default: false
    }
  }
}
