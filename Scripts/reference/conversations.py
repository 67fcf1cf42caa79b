"""Prompts and label masks of TinyLLaVA's phi template, on random sentences."""

from text import END, SYSTEM, WORDS

IMAGE_ID, IGNORE = -200, -100


def turn(question):
    if "<image>" in question:
        question = ("<image>\n" + question.replace("<image>", "").strip()).strip()
    return "USER: " + question + " "


def training_prompt(conversation):
    return SYSTEM + "".join(turn(q) + "ASSISTANT: " + r + END for q, r in conversation)


def generation_prompt(question):
    return SYSTEM + turn(question) + "ASSISTANT:"


class Conversations:
    def __init__(self, rng, text):
        self.text = text

        def sentence():
            return " ".join(rng.choice(WORDS[:60]) for _ in range(rng.randint(2, 7)))

        self.conversations = [
            ("a.png", [("<image>\n" + sentence(), sentence())]),
            ("b.jpg", [(sentence() + "\n<image>", sentence()), (sentence(), sentence())]),
            (None, [(sentence(), sentence()), (sentence(), sentence())]),
            ("c.jpg", [("<image>", sentence())]),
            ("d.png", [("<image>\n" + sentence(), "yes")]),
            ("h.png", [("<image>\n" + sentence(), sentence()), (sentence(), "no"), (sentence(), "3")]),
            ("e.png", [("<image>\n" + sentence(), sentence())]),
            (None, [(sentence(), sentence())])]
        self.samples = []
        for image, conversation in self.conversations:
            prompt = training_prompt(conversation)
            ids = self.with_image(prompt)
            self.samples.append(dict(image=image, prompt=prompt, ids=ids, labels=self.labels(prompt, ids)))

    def data(self):
        """LLaVA's format."""
        return [
            dict(id=str(i), **({"image": image} if image else {}), conversations=[
                m for q, r in conversation for m in ({"from": "human", "value": q}, {"from": "gpt", "value": r})])
            for i, (image, conversation) in enumerate(self.conversations)]

    def with_image(self, prompt):
        ids = []
        for i, piece in enumerate(prompt.split("<image>")):
            ids += ([IMAGE_ID] if i else []) + self.text.encode(piece)
        return ids

    def labels(self, prompt, ids):
        labels, start = list(ids), 0
        for round in prompt.split(END):
            parts = round.split(" ASSISTANT: ")
            if round == "" or len(parts) != 2:
                break
            masked = len(self.with_image(parts[0] + " ASSISTANT: ")) - 1
            labels[start:start + masked] = [IGNORE] * masked
            start += len(self.with_image(round)) + 1
        labels[start:] = [IGNORE] * (len(labels) - start)
        return labels
