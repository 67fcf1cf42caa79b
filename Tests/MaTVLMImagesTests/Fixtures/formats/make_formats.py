"""Writes the pictures of this folder, and `expected.json`: for each, the RGB bytes that Pillow's `convert("RGB")`
gives with LOAD_TRUNCATED_IMAGES, in base64. Made with Pillow 13.0.0; run in this folder: python3 make_formats.py
"""

import base64
import io
import json
import random
import struct
import zlib

from PIL import Image, ImageFile

ImageFile.LOAD_TRUNCATED_IMAGES = True
rng = random.Random(7)

def picture(mode, width, height):
    """Smooth ramps and a block of noise: subsampling and rounding both show."""
    bands = len(mode)
    data = bytearray()
    for y in range(height):
        for x in range(width):
            noisy = width // 3 < x < width // 2
            data += bytes(rng.randrange(256) if noisy else (x * (5 + b) + y * (3 + 2 * b) + 40 * b) % 256 for b in range(bands))
    return Image.frombytes(mode, (width, height), bytes(data))

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def png(width, height, depth, colours, *, interlaced=False, before=b""):
    """A PNG of random samples, written by hand: Pillow does not write every type."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
    bits = depth * channels
    passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b""
    for x0, y0, dx, dy in passes if interlaced else [(0, 0, 1, 1)]:
        columns = -(-(width - x0) // dx)
        for _ in range(y0, height, dy):
            if columns > 0:
                raw += b"\0" + rng.randbytes((columns * bits + 7) // 8)
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, int(interlaced))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")

def palette(entries, transparent=0):
    result = chunk(b"PLTE", rng.randbytes(3 * entries))
    return result + (chunk(b"tRNS", rng.randbytes(transparent)) if transparent else b"")

files = {}

def jpeg(name, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    files[name] = buffer.getvalue()

jpeg("444.jpg", picture("RGB", 37, 29), quality=90, subsampling=0)
jpeg("422.jpg", picture("RGB", 37, 29), quality=90, subsampling=1)
jpeg("420_odd.jpg", picture("RGB", 35, 51), quality=85, subsampling=2)
jpeg("411.jpg", picture("RGB", 61, 43), quality=85, subsampling="4:1:1")
jpeg("progressive_420.jpg", picture("RGB", 67, 45), quality=80, progressive=True)
jpeg("grey.jpg", picture("L", 41, 23), quality=80)
jpeg("grey_progressive.jpg", picture("L", 41, 23), quality=80, progressive=True)
jpeg("rgb_stored.jpg", picture("RGB", 25, 27), quality=85, keep_rgb=True)
jpeg("restarts.jpg", picture("RGB", 70, 50), quality=80, restart_marker_blocks=2)
jpeg("cmyk.jpg", picture("CMYK", 33, 21), quality=85)
jpeg("cmyk_progressive.jpg", picture("CMYK", 33, 21), quality=85, progressive=True)
# The Adobe marker's last byte tells how four components are coded: 0 CMYK, 2 YCCK.
at = files["cmyk.jpg"].index(b"Adobe") + 11
files["ycck.jpg"] = files["cmyk.jpg"][:at] + b"\x02" + files["cmyk.jpg"][at + 1:]
# A picture that ends early: Pillow fills the rest.
whole = files["progressive_420.jpg"]
files["cut_progressive.jpg"] = whole[: len(whole) * 2 // 3]
files["cut.jpg"] = files["restarts.jpg"][: len(files["restarts.jpg"]) * 3 // 4]

for depth in (1, 2, 4, 8, 16):
    files[f"grey{depth}.png"] = png(19, 11, depth, 0)
files["grey8_transparent.png"] = png(9, 7, 8, 0, before=chunk(b"tRNS", struct.pack(">H", 17)))
for depth in (8, 16):
    files[f"rgb{depth}.png"] = png(13, 9, depth, 2)
    files[f"grey_alpha{depth}.png"] = png(13, 9, depth, 4)
    files[f"rgba{depth}.png"] = png(13, 9, depth, 6)
files["rgb8_transparent.png"] = png(9, 7, 8, 2, before=chunk(b"tRNS", struct.pack(">HHH", 1, 2, 3)))
for depth in (1, 2, 4, 8):
    files[f"palette{depth}.png"] = png(21, 10, depth, 3, before=palette(1 << depth))
    files[f"palette{depth}_transparent.png"] = png(21, 10, depth, 3, before=palette(1 << depth, transparent=1 << depth - 1))
for depth, colours in ((1, 0), (8, 0), (16, 0), (8, 2), (16, 2), (4, 3), (8, 4), (8, 6), (16, 6)):
    before = palette(1 << depth) if colours == 3 else b""
    files[f"interlaced_{colours}_{depth}.png"] = png(17, 13, depth, colours, interlaced=True, before=before)
files["interlaced_1x1.png"] = png(1, 1, 8, 2, interlaced=True)
files["gamma.png"] = png(9, 7, 8, 2, before=chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"tEXt", b"Title\0x"))
whole = png(40, 40, 8, 2)
files["cut.png"] = whole[: len(whole) // 2]

expected = {}
for name, data in sorted(files.items()):
    with open(name, "wb") as file:
        file.write(data)
    image = Image.open(io.BytesIO(data)).convert("RGB")
    expected[name] = dict(width=image.width, height=image.height, rgb=base64.b64encode(image.tobytes()).decode())
# Sizes whose resized pixels are compared: enlarging, reducing, one side only, extremes.

source = picture("RGB", 53, 31)
source.save("resize.png")
expected["resize.png"] = dict(width=53, height=31, rgb=base64.b64encode(source.tobytes()).decode())
sizes = [(106, 62), (20, 20), (45, 15), (45, 14), (53, 7), (7, 31), (1, 1), (54, 30), (52, 31), (5, 90), (200, 3)]
resized = [
    dict(width=w, height=h, rgb=base64.b64encode(source.resize((w, h), Image.Resampling.BICUBIC).tobytes()).decode())
    for w, h in sizes
]
with open("expected.json", "w") as file:
    json.dump(dict(decoded=expected, resized=resized), file, indent=0)
