"""Pictures in many formats: decoded, and resized by PIL's bicubic filter."""

import numpy as np
import torch
from PIL import Image, ImageDraw

SPECIFICATIONS = [
    ("a.png", 120, 80, "RGB", {}), ("b.jpg", 131, 97, "RGB", dict(quality=90, subsampling=0)),
    ("c.jpg", 64, 200, "RGB", dict(quality=75, subsampling=2)), ("d.png", 33, 47, "RGBA", {}),
    ("e.png", 90, 90, "L", {}), ("f.png", 75, 40, "P", {}), ("g.jpg", 50, 50, "L", dict(quality=85)),
    ("h.png", 17, 13, "RGB", {}), ("i.jpg", 640, 480, "RGB", dict(quality=92, subsampling=1)),
    ("j.jpg", 70, 90, "RGB", dict(quality=80, progressive=True))]


def drawn(rng, width, height, mode):
    """Shapes and noise."""
    picture = Image.new("RGB", (width, height), tuple(rng.randint(0, 255) for _ in range(3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(9):
        x, y = rng.randint(-10, width), rng.randint(-10, height)
        box = [x, y, x + rng.randint(3, max(4, width // 2)), y + rng.randint(3, max(4, height // 2))]
        getattr(draw, rng.choice(["ellipse", "rectangle"]))(box, fill=tuple(rng.randint(0, 255) for _ in range(3)))
    noise = np.random.default_rng(rng.randint(0, 1 << 30)).integers(-12, 13, (height, width, 3))
    picture = Image.fromarray(np.clip(np.asarray(picture).astype(int) + noise, 0, 255).astype(np.uint8))
    return picture.convert(mode)


def padded(picture):
    """In the middle of a grey square."""
    side = max(picture.size)
    square = Image.new("RGB", (side, side), (127, 127, 127))
    square.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square


class Pictures:
    def __init__(self, rng, sizes, out):
        self.cases, self.arrays = [], {}
        size = (sizes.image, sizes.image)
        for name, width, height, mode, options in SPECIFICATIONS:
            drawn(rng, width, height, mode).save(out.path("images", name), **options)
            rgb = Image.open(out.path("images", name)).convert("RGB")
            self.keep(name + ".square", rgb.resize(size, Image.Resampling.BICUBIC))
            self.keep(name + ".pad", padded(rgb).resize(size, Image.Resampling.BICUBIC))
            if max(width, height) <= 200:
                self.keep(name + ".pixels", rgb)
            self.cases.append(dict(file=name, width=width, height=height, mode=mode))
        out.tensors("images.safetensors", self.arrays)

    def keep(self, name, picture):
        self.arrays[name] = torch.from_numpy(np.asarray(picture).copy())

    def pixel_values(self, name):
        """[3, H, W] in -1...1, as SigLIP's processor."""
        x = self.arrays[name + ".square"].to(torch.float64).permute(2, 0, 1) / 255
        return (x - 0.5) / 0.5
