"""GPT-2 byte-level BPE, trained on a small text, with CodeGen's added whitespace tokens."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

SYSTEM = ("A chat between a curious user and an artificial intelligence assistant. "
          "The assistant gives helpful, detailed, and polite answers to the user's questions. ")
END = "<|endoftext|>"
ADDED = [" " * n for n in range(6, 1, -1)] + ["\t" * n for n in range(4, 1, -1)]
WORDS = (
    "the a image shows red green blue yellow circle square triangle star left right above below of and is are there "
    "what how many color shape in it this picture describe small large one two three four five yes no number sign "
    "read on under between near behind assistant user helpful detailed polite answers question chat curious "
    "artificial intelligence don't it's I'll we've naïve café 北京 été Ünïcødé 1234 3.14 -- ... foo_bar() == != \n\n\t\t"
).split(" ")
PIECES = WORDS + [
    "  ", "   ", "    ", "      ", "       ", "\t", "\t\t", "\t\t\t", "\n", "\n\n", "\r\n", "'s", "'re", "'LL", "don't",
    "x=1;", "…", "—", "日本語", "🙂", "👩‍👩‍👧", "é", "ﬁ", "١٢٣", "a1b2", "__init__", END, "<image>", " ",
    "    if x:\n        y", "0x1F", "½"]
STRINGS = ["", " ", "  ", "\n", "Hello world", " Hello  world ", "a\u0301", "\u00a0x", "\u3000全角",
           "tab\tand\nnewline  end   "]


class SmallTokenizer:
    def __init__(self, rng, sizes):
        corpus = [" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(400)]
        corpus += [SYSTEM, "USER: ASSISTANT: "] * 20
        self.model = Tokenizer(models.BPE())
        self.model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.model.decoder = decoders.ByteLevel()
        self.model.train_from_iterator(corpus, trainers.BpeTrainer(
            vocab_size=sizes.vocab - 12, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            special_tokens=[END], show_progress=False))
        self.end = self.model.token_to_id(END)
        self.model.add_tokens([AddedToken(t, normalized=True, special=False) for t in ADDED])
        assert self.model.get_vocab_size() <= sizes.vocab

    def encode(self, text):
        return self.model.encode(text, add_special_tokens=False).ids

    def decode(self, ids, skip_special_tokens=True):
        return self.model.decode(ids, skip_special_tokens=skip_special_tokens)

    def cases(self, rng):
        strings = STRINGS + [
            "".join(rng.choice(PIECES) + rng.choice(["", " ", "  "]) for _ in range(rng.randint(1, 14)))
            for _ in range(400)]
        return [dict(text=s, ids=self.encode(s), decoded=self.decode(self.encode(s), False)) for s in strings]

    def save(self, out, folder):
        self.model.save(out.path(folder, "tokenizer.json"))
        bpe = json.loads(self.model.to_str())["model"]
        merges = [" ".join(m) if isinstance(m, list) else m for m in bpe["merges"]]
        out.json(f"{folder}/vocab.json", bpe["vocab"])
        out.text(f"{folder}/merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n")
        out.json(f"{folder}/added_tokens.json", {t: self.model.token_to_id(t) for t in ADDED})
        names = ("bos_token", "eos_token", "pad_token", "unk_token")
        out.json(f"{folder}/special_tokens_map.json", {name: END for name in names})
        out.json(f"{folder}/tokenizer_config.json", dict(
            add_prefix_space=False, bos_token=END, eos_token=END, unk_token=END, pad_token=END,
            tokenizer_class="CodeGenTokenizer", model_max_length=2048))
