import Foundation
import MaTVLMEvaluation
import MaTVLMTestSupport
import Testing

@Suite("Benchmarks with LLaVA's question files, from question to score")
struct LLaVABenchmarkTests {
  private static let suffix = "\nAnswer the question using a single word or phrase."

  @Test("POPE: lines as the authors' script writes them, F1 by hand")
  func pope() throws {
    let pope = try BenchmarkFolder(.pope)
    try pope.writePictures("val2014/a.png", "val2014/b.png")
    let asked = [("a.png", "Is there a cat?"), ("b.png", "Is there a \"dög\"?")]
    try pope.writeLines(
      "llava_pope_test.jsonl",
      asked.enumerated().map { index, question in
        [
          "question_id": index + 7, "image": question.0, "text": question.1 + Self.suffix,
          "category": "random",
        ]
      })
    try pope.writeLines(
      "coco/coco_pope_random.json",
      asked.map { ["image": $0.0, "text": $0.1, "label": "yes"] })
    var pixels: [UInt8] = []
    let run = try pope.run { question in
      pixels.append(question.picture!.pixels[0])
      return question.text.contains("cat") ? "Yes, there is." : "No"
    }
    #expect(pixels == [1, 2])
    #expect(
      run.lines[1].hasPrefix(
        #"{"question_id": 8, "prompt": "Is there a \"d\u00f6g\"?\nAnswer the question using a single "#
          + #"word or phrase.", "text": "No", "answer_id": ""#))
    #expect(run.lines[1].hasSuffix(#"", "model_id": "model", "metadata": {}}"#))
    let report = try #require(try pope.benchmark.score(run.records, pope.files, seed: 0))
    // One of two found, nothing invented: precision 1, recall 1/2, F1 2/3.
    for rule in [Score.Rule.published, .corrected] {
      #expect(report[rule]?["random.recall"] == 0.5)
      #expect(abs(try #require(report[rule]).headline - 200 / 3) < 1e-9)
    }
    #expect(report.problems == [])
  }

  @Test("POPE: only the corrected rule pairs labels that are in another order")
  func popeOrder() throws {
    let pope = try BenchmarkFolder(.pope)
    try pope.writeLines(
      "llava_pope_test.jsonl",
      ["a", "b"].map {
        ["question_id": $0, "image": $0, "text": "Is there a \($0)?", "category": "popular"]
      })
    try pope.writeLines(
      "coco/coco_pope_popular.json",
      [("b", "no"), ("a", "yes")].map {
        ["image": $0.0, "text": "Is there a \($0.0)?", "label": $0.1]
      })
    let report = try #require(try pope.score([("a", "", "Yes"), ("b", "", "No")]))
    #expect(report[.published]?["popular.accuracy"] == 0)
    #expect(report[.corrected]?["popular.accuracy"] == 1)
    // A model that never says yes ends the authors' script.
    let never = try #require(try pope.score([("a", "", "no"), ("b", "", "It is not.")]))
    #expect(never[.published]?["popular.f1"] == 0)
  }

  @Test("MME: pairs, both kinds of spacing, perception and cognition by hand")
  func mme() throws {
    let mme = try BenchmarkFolder(.mme)
    let data = "MME_Benchmark_release_version"
    try mme.writePictures(
      "\(data)/existence/1.png", "\(data)/existence/2.png", "\(data)/code_reasoning/1.png")
    try mme.write(
      "\(data)/existence/1.txt",
      "Is it a cat? Please answer yes or no.\tYes\nIs it a dog?  Please answer yes or no.\tNo\n")
    try mme.write(
      "\(data)/existence/2.txt",
      "Is it a cat? Please answer yes or no.\tNo\nIs it a dog? Please answer yes or no.\tYes\n")
    try mme.write(
      "\(data)/code_reasoning/questions_answers_YN/1.txt",
      "Is it 1? Please answer yes or no.\tYes\nIs it 2? Please answer yes or no.\tNo\n")
    func lines(_ path: String, _ questions: [String]) -> [[String: Any]] {
      questions.map {
        ["question_id": path, "image": path, "text": $0 + Self.suffix, "category": "x"]
      }
    }
    try mme.writeLines(
      "llava_mme.jsonl",
      lines("existence/1.png", ["Is it a cat?", "Is it a dog?"])
        + lines("existence/2.png", ["Is it a cat?", "Is it a dog?"])
        + lines("code_reasoning/1.png", ["Is it 1?", "Is it 2?"]))
    let run = try mme.run { $0.text.contains("dog") ? "Certainly no" : "YES." }
    // Both questions about a picture have one id, and each has its line.
    #expect(run.records.count == 6)
    #expect(run.problems == [])
    let report = try #require(try mme.benchmark.score(run.records, mme.files, seed: 0))
    let score = try #require(report[.published])
    // "Certainly no" is neither in its first four characters. Cat: right, wrong; so acc 1/4, acc+ 0.
    #expect(score["existence.acc"] == 25)
    #expect(score["existence.acc_plus"] == 0)
    #expect(score.headline == 25)
    #expect(score["cognition"] == 50)
    let files = try mme.benchmark.submissions(run.records, mme.files, seed: 0)
    #expect(files.map(\.name) == ["mme/code_reasoning.txt", "mme/existence.txt"])
    #expect(
      String(decoding: files[1].bytes, as: UTF8.self).hasPrefix(
        "1.txt\tIs it a cat? Please answer yes or no.\tYes\tYES.\n"))
    let short = try #require(
      try mme.benchmark.score(Array(run.records.dropFirst()), mme.files, seed: 0))
    #expect(
      short.reported == ["missing answer: existence/1.txt", "counts differ: existence/1.txt"])
  }

  @Test("TextVQA: prompts with and without OCR tokens, three of ten agree")
  func textVQA() throws {
    let textVQA = try BenchmarkFolder(.textvqa)
    try textVQA.writePictures("train_images/i.png")
    let questions = ["What Brand?", "What year?"]
    try textVQA.writeLines(
      "llava_textvqa_val_v051_ocr.jsonl",
      questions.map {
        [
          "question_id": "i", "image": "i.png",
          "text": "\($0)\nReference OCR token: ACME, 1999" + Self.suffix,
        ]
      })
    let ten = { (text: String, count: Int) in
      Array(repeating: text, count: count) + Array(repeating: "else", count: 10 - count)
    }
    try textVQA.writeJSON(
      "TextVQA_0.5.1_val.json",
      [
        "data": [
          ["image_id": "i", "question": "What brand?", "answers": ten("acme", 3)],
          ["image_id": "i", "question": "What year?", "answers": ten("1999", 10)],
        ]
      ])
    let run = try textVQA.run { $0.text.contains("Brand") ? "The ACME." : "1998" }
    let score = try #require(
      try textVQA.benchmark.score(run.records, textVQA.files, seed: 0)?[.published])
    // Leaving one of the three out, two agree; otherwise three: (3 · 2/3 + 7 · 1) / 10.
    #expect(abs(score.headline - 100 * 0.9 / 2) < 1e-9)
    #expect(
      try textVQA.questions(.withoutOCR).map(\.text) == questions.map { $0 + Self.suffix })
  }

  @Test("GQA: equality without a final period, open and binary apart")
  func gqa() throws {
    let gqa = try BenchmarkFolder(.gqa)
    try gqa.writeLines(
      "llava_gqa_testdev_balanced.jsonl",
      ["1", "2", "3"].map {
        ["question_id": $0, "image": "\($0).jpg", "text": "What?" + Self.suffix]
      })
    try gqa.writeJSON(
      "data/testdev_balanced_questions.json",
      [
        "1": ["answer": "red", "types": ["structural": "query"]],
        "2": ["answer": "yes", "types": ["structural": "verify"]],
        "3": ["answer": "no", "types": ["structural": "logical"]],
      ])
    let report = try #require(
      try gqa.score([("1", "", "Red."), ("2", "", "yes, it is"), ("3", "", "No")]))
    let score = try #require(report[.published])
    #expect(abs(score.headline - 200 / 3) < 1e-9)
    #expect(score["open"] == 100)
    #expect(score["binary"] == 50)
    let file = try gqa.benchmark.submissions(
      [AnswerRecord(questionID: .text("1"), prompt: "", text: "Red.")], gqa.files, seed: 0)[0]
    #expect(
      String(decoding: file.bytes, as: UTF8.self) == #"[{"questionId": "1", "prediction": "red"}]"#)
  }

  @Test("VQAv2: local annotations, and a submission of the whole test set")
  func vqa() throws {
    let vqa = try BenchmarkFolder(.vqav2)
    func lines(_ ids: Int...) -> [[String: Any]] {
      ids.map { ["question_id": $0, "image": "x.jpg", "text": "What?"] }
    }
    try vqa.writeLines("llava_vqav2_mscoco_test-dev2015.jsonl", lines(1, 2))
    #expect(try vqa.score([]) == nil)
    func annotation(_ id: Int, _ type: String, _ answers: [String]) -> [String: Any] {
      ["question_id": id, "answer_type": type, "answers": answers.map { ["answer": $0] }]
    }
    try vqa.writeJSON(
      "v2_mscoco_val2014_annotations.json",
      [
        "annotations": [
          annotation(1, "number", Array(repeating: "two", count: 10)),
          annotation(2, "other", Array(repeating: "a cat", count: 9) + ["dog"]),
        ]
      ])
    let report = try #require(try vqa.score([("1", "", "Two."), ("2", "", "Cat")]))
    // All agree on "two", which is then left as it is, and the answer is 2.
    #expect(report[.published]?["number"] == 0)
    #expect(report[.corrected]?["number"] == 100)
    #expect(report[.published]?["other"] == 100)
    #expect(report[.published]?.headline == 50)
    try vqa.writeLines("llava_vqav2_mscoco_test2015.jsonl", lines(1, 2, 3))
    let file = try vqa.benchmark.submissions(
      [AnswerRecord(questionID: .number(2), prompt: "", text: "A cat!")], vqa.files, seed: 0)[0]
    #expect(
      String(decoding: file.bytes, as: UTF8.self)
        == #"[{"question_id": 1, "answer": ""}, {"question_id": 2, "answer": "cat"}, "#
        + #"{"question_id": 3, "answer": ""}]"#)
  }

  @Test("MM-Vet: the line stores the whole prompt, the upload is keyed by v1_…")
  func mmVet() throws {
    let mmVet = try BenchmarkFolder(.mmvet)
    try mmVet.writePictures("images/v1_0.png")
    try mmVet.writeLines(
      "llava-mm-vet.jsonl", [["question_id": 0, "image": "v1_0.png", "text": "What is x?"]])
    let run = try mmVet.run { _ in "-1 or -5" }
    #expect(run.records[0].prompt.hasPrefix("A chat between a curious user"))
    #expect(run.records[0].prompt.hasSuffix("USER: <image>\nWhat is x? ASSISTANT:"))
    #expect(try mmVet.benchmark.score(run.records, mmVet.files, seed: 0) == nil)
    let file = try mmVet.benchmark.submissions(run.records, mmVet.files, seed: 0)[0]
    #expect(String(decoding: file.bytes, as: UTF8.self) == #"{"v1_0": "-1 or -5"}"#)
  }
}
