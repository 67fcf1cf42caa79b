"""How large the small models are."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sizes:
    seed: int = 1
    hidden: int = 64
    heads: int = 4
    layers: int = 4
    vocab: int = 640
    vision_hidden: int = 48
    vision_heads: int = 4
    vision_layers: int = 3
    image: int = 56
    patch: int = 14
    chunk: int = 8
    temperature: float = 2.0
    ssm: list = field(default_factory=lambda: [0, 2])

    @property
    def image_tokens(self):
        """Rows of a picture: all patches but the first."""
        return (self.image // self.patch) ** 2 - 1
