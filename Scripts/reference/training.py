"""A short training run."""

import torch
from forward import loss_terms
from output import f32
from transformers import get_scheduler


def trajectory(models, talks, settings, updates=8):
    """Samples in order, wrapping round; AdamW, no decay on vectors; global-norm clip 0.1; HF's
    warmup_stable_decay. The models are afterwards as before."""
    weights, accumulate, lr = settings["weights"], settings["accumulate"], settings["lr"]
    saved = [p.detach().clone() for _, p in models.trainable]
    groups = [dict(params=[p for _, p in models.trainable if p.dim() > 1], weight_decay=0.01),
              dict(params=[p for _, p in models.trainable if p.dim() <= 1], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8)
    warmup, decay = settings["warmup"], settings["decay"]
    schedule = get_scheduler(
        "warmup_stable_decay", optimizer, num_warmup_steps=warmup, num_training_steps=updates,
        scheduler_specific_kwargs=dict(num_stable_steps=updates - warmup - decay, num_decay_steps=decay))
    steps, next_sample = [], 0
    for _ in range(updates):
        sums = dict(kl=0.0, layer=0.0, ce=0.0)
        for _ in range(accumulate):
            sample = talks.samples[next_sample % len(talks.samples)]
            next_sample += 1
            terms = loss_terms(models, sample, settings.get("temperature", 1.0))
            (sum(weights[t] * terms[t] for t in weights) / accumulate).backward()
            for t in sums:
                sums[t] += terms[t].item() / accumulate
        norm = torch.nn.utils.clip_grad_norm_([p for _, p in models.trainable], 0.1)
        steps.append(dict(lr=schedule.get_last_lr()[0], gradient_norm=norm.item(), **sums))
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    final = {name: f32(p) for name, p in models.trainable}
    with torch.no_grad():
        for (_, p), value in zip(models.trainable, saved):
            p.copy_(value)
    return steps, final
