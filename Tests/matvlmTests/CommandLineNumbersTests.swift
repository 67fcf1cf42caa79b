import Testing

@Suite("Negative and absurd numbers on the command line")
struct CommandLineNumbersTests {
  static let distillLines = [
    ("--steps -1", "-1"), ("--steps 0", "not 0"), ("--steps 99999999999999999999", "--steps"),
    ("--steps 2.5", "--steps"), ("--epochs 0", "--epochs"), ("--epochs 9999999999", "--epochs"),
    ("--steps 2 --epochs 2", "not both"), ("--batch-size 0", "batch size"),
    ("--batch-size -3", "-3"), ("--batch-size 1000000000", "batch size"),
    ("--gradient-accumulation 0", "gradient accumulation"), ("--learning-rate 0", "learning rate"),
    ("--learning-rate -1", "-1"), ("--learning-rate nan", "nan"), ("--learning-rate inf", "inf"),
    ("--warmup-steps -1", "-1"), ("--steps 2 --warmup-steps 3", "fit into 2"),
    ("--steps 2 --decay-steps 3", "fit into 2"), ("--weight-decay -0.1", "-0.1"),
    ("--clip -1", "--clip"), ("--clip nan", "nan"), ("--layer-weight -1", "-1"),
    ("--layer-weight nan", "nan"), ("--kl-weight inf", "inf"), ("--ce-weight -2", "-2"),
    ("--layer-weight 0 --kl-weight 0", "all loss weights are 0"),
    ("--temperature 0", "temperature"), ("--temperature -1", "-1"), ("--temperature nan", "nan"),
    ("--divergence sideways", "sideways"), ("--ssm-ratio 0", "--ssm-ratio"),
    ("--ssm-ratio 1.5", "--ssm-ratio"), ("--ssm-ratio -0.25", "-0.25"), ("--ssm-ratio nan", "nan"),
    ("--ssm-layers 4", "layers 0 to 3"), ("--ssm-layers 0,0", "0,0"), ("--ssm-layers -1", "-1"),
    ("--ssm-layers 0,,2", "0,,2"), ("--ssm-layers 0 --ssm-ratio 0.5", "not both"),
    ("--placement top", "top"), ("--seeding magic", "magic"), ("--seed -1", "-1"),
    ("--seeding calibrated --calibration-samples 1", "not 1"),
    ("--seeding calibrated --calibration-passes -1", "not -1"),
    ("--seeding paper --calibration-samples 8", "--seeding calibrated"),
    ("--calibration-passes 8", "--seeding calibrated"),
    ("--threads 0", "--threads"), ("--threads 1000000", "--threads"),
    ("--evaluation-interval 0", "evaluation interval"), ("--device tpu", "tpu"),
    ("--device cuda:-1", "cuda:-1"), ("--precision float8", "float8"),
  ]

  @Test("distill says which number is wrong, and writes nothing", arguments: distillLines)
  func distill(_ options: String, word: String) throws {
    let workplace = try Workplace()
    let before = try workplace.content
    let base = [
      "distill", "--teacher", "teacher", "--data", "data.json", "--image-folder", "images",
      "--output", "student",
    ]
    try workplace.run(base + options.split(separator: " ").map(String.init))
      .expectFailure(Command.wrongCommandLine, [word])
    #expect(try workplace.content == before)
  }

  static let otherLines = [
    ("generate --model teacher --prompt hi --max-tokens 0", "--max-tokens"),
    ("generate --model teacher --prompt hi --max-tokens -5", "-5"),
    ("generate --model teacher --prompt hi --temperature -1", "-1"),
    ("generate --model teacher --prompt hi --temperature nan", "nan"),
    ("generate --model teacher --prompt hi --top-k -1", "-1"),
    ("generate --model teacher --prompt hi --top-p 0", "top-p"),
    ("generate --model teacher --prompt hi --top-p 1.5", "1.5"),
    ("generate --model teacher --prompt hi --min-p -0.5", "-0.5"),
    ("generate --model teacher --prompt hi --repetition-penalty 0", "repetition penalty"),
    ("generate --model teacher --prompt hi --repetition-penalty inf", "inf"),
    ("evaluate --model teacher --pictures 0", "--pictures"),
    ("evaluate --model teacher --batch-size -1", "-1"),
    ("pretrain --pictures 0 --output p", "--pictures"),
    ("shapes --turns 5 --output s", "not 5"), ("pretrain --turns 33 --output p", "not 33"),
    ("evaluate --needle 1,-1", "--needle"), ("evaluate --needle 1,1", "--needle"),
    ("shapes --count 0 --output s", "--count"), ("shapes --count -4 --output s", "-4"),
    ("convert --teacher teacher --ssm-layers 7 --output s", "layer 7"),
    ("convert --teacher teacher --seeding calibrated --output s", "--calibration"),
    ("convert --teacher teacher --calibration data.json --output s", "--seeding calibrated"),
    ("quantize --model teacher --bits 5 --output q", "not 5"),
    ("quantize --model teacher --bits 8 --group 48 --output q", "not 48"),
    ("evaluate --quantize int2", "int2"), ("evaluate --group 64", "--quantize"),
    ("evaluate --quantize int8 --group 7", "not 7"),
    ("bench decode --contexts 1,,2", "1,,2"), ("bench decode --tokens 0", "--tokens"),
    ("bench prefill --prompt 0", "--prompt"), ("bench prefill --ssm-ratio 2", "--ssm-ratio"),
    ("bench prefill --prompt 1.5", "1.5"), ("bench image --prompt 0", "--prompt"),
    ("bench image --repeats 0", "--repeats"), ("bench decode --ssm-ratio 0,x", "0,x"),
    ("bench distill --hidden 0", "--hidden"), ("bench distill --hidden 64 --heads 5", "--heads"),
    ("bench distill --repeats -1", "-1"), ("bench distill --hidden 1000000", "memory"),
  ]

  @Test("Other verbs do too", arguments: otherLines)
  func others(_ line: String, word: String) throws {
    let workplace = try Workplace()
    let before = try workplace.content
    try workplace.run(line.split(separator: " ").map(String.init))
      .expectFailure(Command.wrongCommandLine, [word])
    #expect(try workplace.content == before)
  }
}
