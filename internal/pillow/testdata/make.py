"""Writes the pictures beside it, with Pillow 9.4 and numpy."""

import numpy
from PIL import Image

rng = numpy.random.default_rng(1)
y, x = numpy.mgrid[0:23, 0:37]
waves = numpy.stack([numpy.sin(x / 3 + y / 5), numpy.cos(x * y / 40), numpy.sign(numpy.sin(x) * numpy.sin(y / 2))], -1)
source = (127.5 + 127.5 * waves * rng.uniform(0.5, 1, waves.shape)).round().astype(numpy.uint8)
picture = Image.fromarray(source)
picture.save("source.png")
for name in ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"):
    for size in ((12, 31), (64, 9), (5, 7), (37, 40), (37, 23)):
        picture.resize(size, Image.Resampling[name.upper()]).save(f"{name}_{size[0]}x{size[1]}.png")

alpha = rng.integers(0, 3, (23, 37, 1), dtype=numpy.uint8) * 127  # 0, 127 and 254
Image.fromarray(numpy.concatenate([source, alpha], -1)).save("translucent.png")
gray = picture.convert("L")
gray.save("gray.png")
