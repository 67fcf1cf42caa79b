"""What teacher and student compute: rows, hidden states, logits, losses, gradients, answers."""

import torch
import torch.nn.functional as F
from conversations import IGNORE, IMAGE_ID, generation_prompt
from hybrid import kl_loss, layer_loss
from output import f32

QUESTIONS = [("a.png", "<image>\nwhat shape is in the picture"), ("c.jpg", "<image>\nhow many circle are there"),
             (None, "the color of the star"), ("i.jpg", "<image>\ndescribe this image")]


def run(models, model, sample):
    rows = models.rows(model, sample["ids"], sample["image"])
    return model.language_model(inputs_embeds=rows, output_hidden_states=True, use_cache=False), rows


def loss_terms(models, sample, temperature=1.0):
    with torch.no_grad():
        t, _ = run(models, models.teacher, sample)
    out, _ = run(models, models.student, sample)
    labels = []
    for i, label in zip(sample["ids"], sample["labels"]):
        labels += [IGNORE] * models.sizes.image_tokens if i == IMAGE_ID else [label]
    labels = torch.tensor(labels[1:])
    lt, ls = t.logits / temperature, out.logits / temperature
    pt, ps = F.softmax(lt, -1), F.softmax(ls, -1)
    m = 0.5 * (pt + ps)

    def kl(log_q, p):
        return F.kl_div(log_q, p, reduction="batchmean") * temperature ** 2

    return dict(
        kl=kl_loss(out.logits, t.logits, temperature),
        layer=layer_loss(models.student.language_model, t.hidden_states, models.sizes.ssm),
        ce=F.cross_entropy(out.logits[0, :-1], labels, ignore_index=IGNORE),
        reverse=kl(lt.log_softmax(-1), ps),
        jensen_shannon=0.5 * (kl(m.log(), pt) + kl(m.log(), ps)),
        teacher_ce=F.cross_entropy(t.logits[0, :-1], labels, ignore_index=IGNORE))


def forward_passes(models, talks):
    tensors = {}
    for name in ("a.png", "c.jpg"):
        features = models.teacher.vision_features(models.pictures.pixel_values(name)[None])
        tensors[f"vision.{name}.features"] = f32(features[0])
        tensors[f"vision.{name}.connected"] = f32(models.teacher.connector._connector(features)[0])
    for i, sample in enumerate(talks.samples[:4]):
        for who in ("teacher", "student"):
            out, rows = run(models, getattr(models, who), sample)
            tensors[f"sample{i}.{who}.logits"] = f32(out.logits[0])
            if who == "teacher":
                tensors[f"sample{i}.rows"] = f32(rows[0])
                for layer, hidden in enumerate(out.hidden_states):
                    tensors[f"sample{i}.teacher.hidden{layer}"] = f32(hidden[0])
    return tensors


def loss_values(models, talks):
    return [
        dict(sample=i) | {
            f"temperature {t:g}": {k: v.item() for k, v in loss_terms(models, sample, t).items()}
            for t in (1.0, models.sizes.temperature)}
        for i, sample in enumerate(talks.samples)]


def loss_gradients(models, talks):
    tensors = {}
    for term in ("kl", "layer", "ce", "reverse", "jensen_shannon"):
        value = loss_terms(models, talks.samples[1], models.sizes.temperature)[term]
        gradients = torch.autograd.grad(value, [p for _, p in models.trainable], allow_unused=True)
        for (name, _), gradient in zip(models.trainable, gradients):
            if gradient is not None:
                tensors[f"gradient.{term}.{name}"] = f32(gradient)
    return tensors


@torch.no_grad()
def greedy_answer(models, model, ids, image, most=24):
    rows = models.rows(model, ids, image)
    new, gaps = [], []
    while len(new) < most:
        top = model.language_model(inputs_embeds=rows, use_cache=False).logits[0, -1].topk(2)
        new.append(int(top.indices[0]))
        gaps.append(float(top.values[0] - top.values[1]))
        if new[-1] == models.text.end:
            break
        rows = torch.cat([rows, model.language_model.model.embed_tokens(torch.tensor([[new[-1]]]))], 1)
    text = models.text.decode([t for t in new if t != models.text.end])
    return dict(ids=new, text=text, smallest_gap=min(gaps))


def greedy_answers(models, talks):
    answers = []
    for image, question in QUESTIONS:
        prompt = generation_prompt(question)
        ids = talks.with_image(prompt)
        answers.append(dict(image=image, question=question, prompt=prompt, prompt_ids=ids) | {
            who: greedy_answer(models, getattr(models, who), ids, image) for who in ("teacher", "student")})
    return answers
