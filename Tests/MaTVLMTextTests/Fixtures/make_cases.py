"""Writes the files beside it that compare with Hugging Face's tokenizers: python make_cases.py

tokenizer_cases.json, prompt_cases.json and data.json come with the golden files of the whole model.
"""

import json
import os
import random

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
tok = Tokenizer.from_file(os.path.join(HERE, "tokenizer/tokenizer.json"))
rng = random.Random(7)


def dump(name, obj):
    with open(os.path.join(HERE, name), "w") as f:
        json.dump(obj, f, ensure_ascii=True, indent=0)


# Every kind of white space, letters and numbers of several categories, marks, contractions, added tokens.
atoms = list("aZß9 '\"_-.\t\n\r\x0b\x0c\x1c\x1f\x00\x85\xa0") + [
    "\u1680", "\u2003", "\u2028", "\u2029", "\u200b", "\u3000", "\ufeff", "\u0301", "\u20dd", "ǅ", "ʰ", "漢", "ª", "²", "Ⅷ", "½",
    "٣", "𝟘", "𝔘", "🙂", "😵‍💫", "€", "'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "''", "  ", "   ", "\t\t", "\r\n",
    "<|endoftext|>", "<|endof", "<image>", "the", "question", "Ġ", "Ċ", "\u0338", "\U0010ffff", "\ue000"]
texts = ["".join(rng.choice(atoms) for _ in range(rng.randint(1, 24))) for _ in range(400)]
dump("text_cases.json", [dict(text=t, ids=tok.encode(t, add_special_tokens=False).ids) for t in texts])

# Ids at random: most are ill-formed UTF-8.
size = tok.get_vocab_size()
high = [tok.token_to_id(c) for c in pre_tokenizers.ByteLevel.alphabet() if ord(c) > 126]
runs = [[rng.choice(high) if rng.random() < 0.8 else rng.randrange(size) for _ in range(rng.randint(1, 14))] for _ in range(600)]
dump("decode_cases.json", [dict(ids=r, text=tok.decode(r, skip_special_tokens=False), plain=tok.decode(r, skip_special_tokens=True))
                           for r in runs])

# Training: the same merges as the library's trainer.
corpus = [" ".join(rng.choice(["red", "reddish", "circle", "circles", "square", "squares", "how", "many", "aaaa", "café", "two"])
                   for _ in range(9)) for _ in range(60)]
learned = Tokenizer(models.BPE())
learned.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
learned.train_from_iterator(corpus, trainers.BpeTrainer(
    vocab_size=300, min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=["<|endoftext|>"],
    show_progress=False))
model = json.loads(learned.to_str())["model"]
dump("trainer_case.json", dict(texts=corpus, vocabulary=model["vocab"], merges=[list(m) if isinstance(m, list) else m.split(" ") for m in model["merges"]]))
