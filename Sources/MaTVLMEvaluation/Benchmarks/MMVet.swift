import MaTVLMText

/// MM-Vet: open questions, which a language model grades elsewhere.
///
/// Source: the authors' `tinyllava/eval/model_vqa.py` and LLaVA's `convert_mmvet_for_eval.py`.
struct MMVet: Benchmark {
  let name = BenchmarkName.mmvet
  let title = "MM-Vet"
  let layout = BenchmarkLayout(
    questions: ["llava-mm-vet.jsonl"], images: ["images", "mm-vet/images"])
  let tokenLimit = 1024

  func questions(_ files: BenchmarkFiles, _ prompt: PromptVariant) throws -> [Question] {
    try LLaVAQuestion.read(files.questions).map { line in
      // This one script stores the whole prompt.
      let turn = Turn(
        question: line.image == nil ? line.text : PromptTemplate.aboutPicture(line.text))
      return Question(
        line.id, line.text, recorded: PromptTemplate.phi.generationText([turn]),
        picture: line.image.map { .file($0) })
    }
  }

  func submissions(_ answers: [AnswerRecord], _ files: BenchmarkFiles, seed: UInt64) throws
    -> [SubmissionFile]
  {
    let members = answers.map { ("v1_\($0.questionID)", OrderedJSON.string($0.text)) }
    return [SubmissionFile("mm-vet.json", OrderedJSON.object(members).text)]
  }
}
