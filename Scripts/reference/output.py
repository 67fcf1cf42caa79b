"""The folder that golden files are written to."""

import json
import os

import torch
from safetensors.torch import save_file

README = """# Golden files

Written by `Scripts/golden`; float64 arithmetic, stored as float32.

| file | what it holds |
| --- | --- |
| `teacher/` | TinyLLaVA folder: config, two float32 shards and an index, tokenizer in both forms |
| `student/`, `student-bf16/`, `student-f16/` | the seeded hybrid in the authors' layout, with `mamba_config.json`; the same numbers in three dtypes (weights are exact in bfloat16) |
| `images/`, `images.safetensors` | pictures; `NAME.pixels` decoded RGB, `NAME.square` and `NAME.pad` after PIL's bicubic resize to {image} x {image}, uint8 [H, W, 3] |
| `tokenizer_cases.json` | text, its ids, and the ids decoded again (Hugging Face tokenizers) |
| `data.json` | eight samples in LLaVA's format; `image` is relative to `images/` |
| `cases.json` | per sample: prompt, ids, labels; losses; greedy generations with the smallest logit gap; two training trajectories |
| `forward.safetensors` | per sample: spliced rows, the teacher's hidden states (the last one after the final norm), logits of both; gradients of each loss term on sample 1 at temperature {temperature:g} |
| `trajectory_final.safetensors` | trainable parameters after `trajectory` |
| `mixers.safetensors` | Mamba-2 mixers alone: weights, input `u` [2, L, D], output, gradients for `dy`, states after the last token |
"""


def f32(tensor):
    return tensor.detach().to(torch.float32).contiguous().clone()


class Output:
    def __init__(self, folder):
        self.folder = folder

    def path(self, *parts):
        path = os.path.join(self.folder, *parts)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def text(self, name, text):
        with open(self.path(name), "w") as file:
            file.write(text)

    def json(self, name, value):
        self.text(name, json.dumps(value, indent=1, ensure_ascii=False))

    def tensors(self, name, tensors, metadata=None):
        save_file(tensors, self.path(name), metadata=metadata)

    def readme(self, sizes):
        self.text("README.md", README.format(image=sizes.image, temperature=sizes.temperature))
