// A program outside the package; the README shows it.
import MaTVLMCore

let teacher = try VisionLanguageModel.load(ShapesTeacher.folder())
let student = try teacher.student(replacing: [0, 4], .identity, seed: 1)

var run = TrainingConfiguration()
(run.steps, run.batchSize, run.learningRate, run.clip) = (20, 8, 1e-3, 1)
let data = ShapeTrainingData(ShapeDataset(split: .train), count: 160)
var trainer = Trainer(
  distilling: teacher, into: student, DistillationObjective(), run, data: data)
try trainer.run { if case .update(let update) = $0 { print(update.step, update.loss) } }

let picture = ShapeDataset(split: .heldOut).picture(0)
let ids = student.promptIDs(question: "Describe the picture.", withPicture: true)
print(try student.generate(GenerationRequest(promptIDs: ids, pictures: [picture])).text)
