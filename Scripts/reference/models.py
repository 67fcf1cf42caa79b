"""A small TinyLLaVA teacher and its hybrid, and their folders in the authors' layout."""

import copy

import torch
import torch.nn as nn
from conversations import IGNORE, IMAGE_ID
from hybrid import make_hybrid
from text import END
from transformers import PhiConfig, PhiForCausalLM, SiglipVisionConfig, SiglipVisionModel

TEXT_KEYS = (
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads hidden_act "
    "layer_norm_eps partial_rotary_factor rope_theta max_position_embeddings resid_pdrop embd_pdrop attention_dropout "
    "qk_layernorm tie_word_embeddings bos_token_id eos_token_id initializer_range").split()
VISION_KEYS = (
    "hidden_size intermediate_size num_hidden_layers num_attention_heads num_channels image_size patch_size hidden_act "
    "layer_norm_eps attention_dropout").split()
SIGLIP, PHI = "google/siglip-so400m-patch14-384", "microsoft/phi-2"


class VLM(nn.Module):
    """TinyLLaVA: vision tower without its last layer, norm and head; connector; Phi."""

    def __init__(self, text_config, vision_config):
        super().__init__()
        self.language_model = PhiForCausalLM(text_config)
        self.vision_tower = nn.Module()
        self.vision_tower._vision_tower = SiglipVisionModel(vision_config)
        self.connector = nn.Module()
        hidden = text_config.hidden_size
        self.connector._connector = nn.Sequential(
            nn.Linear(vision_config.hidden_size, hidden), nn.GELU(), nn.Linear(hidden, hidden))

    def vision_features(self, pixels):
        return self.vision_tower._vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]

    def embed(self, ids, pixels):
        """ids with one -200 -> rows (1, L, D); without, plain token embeddings."""
        table = self.language_model.model.embed_tokens
        if IMAGE_ID not in ids:
            return table(torch.tensor([ids]))
        k = ids.index(IMAGE_ID)
        image = self.connector._connector(self.vision_features(pixels[None]))
        before, after = (table(torch.tensor([part], dtype=torch.long)) for part in (ids[:k], ids[k + 1:]))
        return torch.cat([before, image, after], 1)


def exact_in_bfloat16(parameter):
    """So that every file format holds the same numbers."""
    parameter.copy_(parameter.to(torch.bfloat16).to(torch.float64))


def randomize(model):
    """Weights of the size that trained ones have, not of fresh ones."""
    for name, p in model.named_parameters():
        if p.dim() > 1:
            p.normal_(0, 0.6 / p[0].numel() ** 0.5 if "embed" not in name else 0.5)
        elif name.endswith("bias"):
            p.normal_(0, 0.1)
        else:
            p.add_(torch.randn_like(p) * 0.1)


def checkpoint_name(name):
    """As the authors' save_pretrained writes it."""
    name = name.replace(".self_attn.mamba.", ".mamba.")
    if not name.startswith("vision_tower._vision_tower.vision_model."):  # transformers 5 dropped this level
        name = name.replace("vision_tower._vision_tower.", "vision_tower._vision_tower.vision_model.")
    return name


class Models:
    def __init__(self, sizes, text, pictures):
        self.sizes, self.text, self.pictures = sizes, text, pictures
        self.text_config = PhiConfig(
            vocab_size=sizes.vocab, hidden_size=sizes.hidden, intermediate_size=2 * sizes.hidden,
            num_hidden_layers=sizes.layers, num_attention_heads=sizes.heads, partial_rotary_factor=0.5,
            max_position_embeddings=2048, resid_pdrop=0.0, bos_token_id=text.end, eos_token_id=text.end,
            attn_implementation="eager")
        self.vision_config = SiglipVisionConfig(
            hidden_size=sizes.vision_hidden, intermediate_size=2 * sizes.vision_hidden,
            num_hidden_layers=sizes.vision_layers, num_attention_heads=sizes.vision_heads,
            image_size=sizes.image, patch_size=sizes.patch, attn_implementation="eager")
        self.teacher = VLM(self.text_config, self.vision_config).eval()
        with torch.no_grad():
            randomize(self.teacher)
            for p in self.teacher.parameters():
                exact_in_bfloat16(p)
        self.student = copy.deepcopy(self.teacher)
        self.student.language_model = make_hybrid(self.teacher.language_model, sizes.ssm, chunk=sizes.chunk)
        with torch.no_grad():
            for name, p in self.student.named_parameters():
                if ".mamba." in name:
                    exact_in_bfloat16(p)
        for p in [*self.teacher.parameters(), *self.student.parameters()]:
            p.requires_grad = False
        self.trainable = [(checkpoint_name(n), p) for n, p in self.student.named_parameters()
                          if ".mamba." in n or n.startswith("connector.")]
        for _, p in self.trainable:
            p.requires_grad = True

    def rows(self, model, ids, image):
        return model.embed(ids, self.pictures.pixel_values(image) if image else None)

    def save(self, out):
        self.save_model(out, self.teacher, "teacher", shards=2)
        for folder, dtype in (("student", torch.float32), ("student-bf16", torch.bfloat16),
                              ("student-f16", torch.float16)):
            self.save_model(out, self.student, folder, dtype, extra=dict(hybrid_model_name_or_path=None))
            out.json(f"{folder}/mamba_config.json", self.mamba_config())

    def save_model(self, out, model, folder, dtype=torch.float32, shards=1, extra={}):
        tensors = {checkpoint_name(k): v.detach().to(dtype).contiguous().clone() for k, v in model.state_dict().items()}
        names = sorted(tensors)
        if shards == 1:
            out.tensors(f"{folder}/model.safetensors", tensors, metadata={"format": "pt"})
        else:
            weight_map, size = {}, 0
            for s in range(shards):
                part = {k: tensors[k] for k in names[s::shards]}
                file = f"model-{s + 1:05d}-of-{shards:05d}.safetensors"
                out.tensors(f"{folder}/{file}", part, metadata={"format": "pt"})
                weight_map |= {k: file for k in part}
                size += sum(v.numel() * v.element_size() for v in part.values())
            out.json(f"{folder}/model.safetensors.index.json", dict(metadata=dict(total_size=size), weight_map=weight_map))
        out.json(f"{folder}/config.json", self.config() | extra | dict(torch_dtype=str(dtype).split(".")[1]))
        self.text.save(out, folder)

    def config(self):
        text, vision = self.text_config.to_dict(), self.vision_config.to_dict()
        rope = text.get("rope_parameters") or {}
        text.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
        text.setdefault("partial_rotary_factor", 0.5)
        text = {k: text[k] for k in TEXT_KEYS if k in text} | dict(model_type="phi", rope_scaling=None)
        vision = {k: vision[k] for k in VISION_KEYS} | dict(
            model_type="siglip_vision_model", model_name_or_path=SIGLIP, model_name_or_path2="")
        return dict(
            model_type="tinyllava", architectures=["TinyLlavaForConditionalGeneration"], llm_model_name_or_path=PHI,
            tokenizer_name_or_path=PHI, vision_model_name_or_path=SIGLIP, vision_model_name_or_path2="",
            connector_type="mlp2x_gelu", hidden_size=self.sizes.hidden, vocab_size=self.sizes.vocab,
            vision_hidden_size=self.sizes.vision_hidden, ignore_index=IGNORE, image_token_index=IMAGE_ID, pad_token=END,
            pad_token_id=self.text.end, tokenizer_padding_side="right", tokenizer_model_max_length=2048,
            tokenizer_use_fast=False, vision_feature_layer=-2, vision_feature_select_strategy="patch",
            image_aspect_ratio="square", use_cache=True, text_config=text, vision_config=vision)

    def mamba_config(self):
        s = self.sizes
        return dict(
            d_model=s.hidden, ssm_cfg=dict(expand=1, ngroups=s.heads, d_state=s.hidden // s.heads), layer_norm_eps=1e-5,
            vocab_size=None, d_inner=s.hidden, d_xb=s.hidden, intermediate_size=2 * s.hidden, hidden_act="gelu_new",
            n_layer=s.layers, attn_layers=[i for i in range(s.layers) if i not in s.ssm], resid_pdrop=0.0,
            bidirectional=False, is_bias=False)
