"""Mamba-2 mixers by themselves, of several shapes."""

import torch
from hybrid import Mamba2Mixer
from output import f32

SHAPES = [("plain", 64, 4, 4, False, 37), ("grouped", 96, 6, 2, True, 70), ("one", 32, 2, 2, False, 1),
          ("phi", 160, 2, 2, False, 300)]


def mixers_alone():
    tensors = {}
    for tag, hidden, heads, kv_heads, bias, length in SHAPES:
        m = Mamba2Mixer(hidden, heads, kv_heads, bias=bias, chunk=16)
        u = torch.randn(2, length, hidden, requires_grad=True)
        y = m(u)
        dy = torch.randn_like(y)
        y.backward(dy)
        tensors |= {f"{tag}.weight.{n}": f32(p) for n, p in m.named_parameters()}
        tensors |= {f"{tag}.gradient.{n}": f32(p.grad) for n, p in m.named_parameters()}
        tensors |= {f"{tag}.u": f32(u), f"{tag}.y": f32(y), f"{tag}.dy": f32(dy), f"{tag}.du": f32(u.grad)}
        convolution = torch.zeros(2, m.d_inner + 2 * m.d_xb, 4)
        state = torch.zeros(2, heads, m.head_dim, m.head_dim)
        with torch.no_grad():
            for t in range(length):
                _, convolution, state = m.step(u[:, t], convolution, state)
        tensors |= {f"{tag}.conv_state": f32(convolution), f"{tag}.ssm_state": f32(state)}
    return tensors
