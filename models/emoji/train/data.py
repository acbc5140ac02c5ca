"""Render the training set from emoji packages (see README.md) into one .npz file.

    python3 data.py --packages node_modules --out emoji.npz

It holds  images   uint8 [N, 32, 32, 3], on white
          concept  [N] into names
          style    [N] into styles
          held     [N] bool: for validation, never to be trained on
          meta     JSON: styles, names, keywords (of each name), parent (the name it is a recoloured form of, or null),
                   focus (the starred concepts), sources, held_out_pairs, held_out_colours

The drawings belong to their authors (NOTICE.md of the model): the file is no part of the repository.
"""

import argparse
import concurrent.futures
import io
import json
import os
import pathlib
import random
import re
import subprocess

import numpy as np
from PIL import Image

import text

STYLES = {  # name -> package, version, licence of the drawings
    "noto": ("@iconify-json/noto", "1.2.9", "Apache-2.0"),
    "blob": ("@iconify-json/noto-v1", "1.2.5", "Apache-2.0"),
    "twemoji": ("@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
    "flat": ("@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
    "fluent": ("@iconify-json/fluent-emoji", "1.2.7", "MIT"),
}
HELD_PAIRS = 0.1  # of the concepts that all styles draw: one style is held out
HELD_COLOURS = 0.25  # of the (colour, concept) pairs
HUES = {"red": 0, "orange": 28, "yellow": 52, "green": 115, "blue": 212, "purple": 275, "pink": 330}
COLOURS = {*HUES, "black", "white", "brown", "grey", "light", "rainbow"}


# --------------------------------------------------------------------------------------------------------- drawings


def read_concepts(path):
    """The names of concepts.txt, and those of them with a star."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    names = [name.strip() for name in re.split(r"[;\n]", "\n".join(lines)) if name.strip()]
    return [name.lstrip("*") for name in names], [name[1:] for name in names if name.startswith("*")]


def describe(packages, wanted):
    """[(character, name, keywords)] in the order of Unicode."""
    characters = json.loads((packages / "unicode-emoji-json/data-by-emoji.json").read_text())
    keywords = json.loads((packages / "emojilib/dist/emoji-en-US.json").read_text())
    found = []
    for char, about in characters.items():
        name, words = about["name"], []
        if name not in wanted:
            continue
        for word in keywords.get(char, []):
            word = word.replace("_", " ").lower().strip()
            if re.fullmatch(r"[a-z][a-z ]{1,20}", word) and word != name.lower() and word not in words:
                words.append(word)
        found.append((char, name, words[:8]))
    if missing := set(wanted) - {name for _, name, _ in found}:
        raise SystemExit(f"no such concepts: {sorted(missing)}")
    return found


class IconSet:
    """Icons of one package."""

    def __init__(self, folder):
        self.icons = json.loads((folder / "icons.json").read_text())
        chars = folder / "chars.json"
        self.by_code = json.loads(chars.read_text()) if chars.exists() else {}

    def svg(self, char, name):
        """The drawing as an SVG document, or None."""
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        codes = ["-".join(f"{ord(c):x}" for c in char), "-".join(f"{ord(c):x}" for c in char if c != "\ufe0f")]
        for key in (slug, *(self.by_code.get(code) for code in codes)):
            while key in self.icons.get("aliases", {}):
                key = self.icons["aliases"][key]["parent"]
            if icon := self.icons["icons"].get(key):
                w, h = (icon.get(k, self.icons.get(k, 16)) for k in ("width", "height"))
                return (
                    '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
                    f'viewBox="{icon.get("left", 0)} {icon.get("top", 0)} {w} {h}" width="{w}" height="{h}">'
                    f'{icon["body"]}</svg>'
                )
        return None


def render(svg, size, oversample=8):
    """uint8 [size, size, 3]: drawn on white, then reduced. None if librsvg cannot draw it."""
    n = str(size * oversample)
    png = subprocess.run(["rsvg-convert", "-w", n, "-h", n, "-b", "white"], input=svg.encode(), capture_output=True)
    if png.returncode != 0:
        return None
    return np.asarray(Image.open(io.BytesIO(png.stdout)).convert("RGB").resize((size, size), Image.BOX))


# ---------------------------------------------------------------------------------------------------------- colours


def turn_hue(image, share=0.55):
    """colour -> the picture with its dominant hue turned to it; empty where no hue dominates."""
    x = image.astype(np.float32) / 255
    r, g, b = x[..., 0], x[..., 1], x[..., 2]
    value, chroma = x.max(-1), x.max(-1) - x.min(-1)
    saturation, c = chroma / np.maximum(value, 1e-6), np.maximum(chroma, 1e-6)
    hue = 60 * np.where(value == r, (g - b) / c % 6, np.where(value == g, (b - r) / c + 2, (r - g) / c + 4))

    ink = x.min(-1) < 0.9
    strong = ink & (saturation > 0.35) & (value > 0.3)
    if ink.sum() < 40 or strong.sum() < share * ink.sum():
        return {}
    histogram = np.histogram(hue[strong], 36, (0, 360))[0]
    around = sum(np.roll(histogram, k) for k in range(-2, 3))
    if around.max() < 0.75 * strong.sum():
        return {}
    dominant = around.argmax() * 10 + 5.0

    turned = {}
    off = (hue - dominant + 180) % 360 - 180
    amount = np.clip((65 - np.abs(off)) / 20, 0, 1) * np.clip((saturation - 0.1) / 0.15, 0, 1)
    for name, target in HUES.items():
        if abs((target - dominant + 180) % 360 - 180) < 30:
            continue  # it has that colour
        h = (target + 0.6 * off) % 360 / 60
        c = value * saturation * (0.55 if name == "pink" else 1)
        second, zero = c * (1 - np.abs(h % 2 - 1)), np.zeros_like(c)
        c, second, zero = c[..., None], second[..., None], zero[..., None]
        sectors = [[c, second, zero], [second, c, zero], [zero, c, second], [zero, second, c], [second, zero, c]]
        sectors = [np.concatenate(s, -1) for s in (*sectors, [c, zero, second])]
        rgb = np.choose(h.astype(int)[..., None] % 6, sectors) + (value[..., None] - c)
        mixed = x + (rgb - x) * amount[..., None]
        turned[name] = (mixed.clip(0, 1) * 255).round().astype(np.uint8)
    return turned


# -------------------------------------------------------------------------------------------------------------- set


def held_out_pairs(drawn, styles):
    """{(concept, style)} to hold out, of the pairs that are drawn."""
    rng, by_concept = random.Random(7), {}
    for concept, style in drawn:
        by_concept.setdefault(concept, []).append(style)
    return {(c, rng.choice(s)) for c, s in by_concept.items() if len(s) == styles and rng.random() < HELD_PAIRS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--packages", type=pathlib.Path, default="node_modules", help="where npm put the packages")
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--out", default="emoji.npz")
    args = parser.parse_args()

    wanted, focus = read_concepts(pathlib.Path(__file__).with_name("concepts.txt"))
    concepts = describe(args.packages, wanted)
    sets = [IconSet(args.packages / package) for package, _, _ in STYLES.values()]
    drawings = {}
    for c, (char, name, _) in enumerate(concepts):
        drawings |= {(c, s): icons.svg(char, name) for s, icons in enumerate(sets)}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        images = pool.map(lambda svg: svg and render(svg, args.size), drawings.values())
        drawn = {key: image for key, image in zip(drawings, images) if image is not None}

    pairs = held_out_pairs(drawn, len(STYLES))
    rows = [(image, c, s, (c, s) in pairs) for (c, s), image in drawn.items()]
    names, keywords, parents = [name for _, name, _ in concepts], [k for _, _, k in concepts], [None] * len(concepts)
    index, held_colours = {}, []
    for image, c, s, held in [row for row in rows if not row[3]]:
        if COLOURS & set(text.words(names[c])):
            continue
        for colour, turned in turn_hue(image).items():
            name = f"{colour} {names[c]}"
            held = random.Random(name).random() < HELD_COLOURS
            if held and [colour, names[c]] not in held_colours:
                held_colours.append([colour, names[c]])
            if name not in index:
                index[name] = len(names)
                names.append(name)
                keywords.append([])
                parents.append(names[c])
            rows.append((turned, index[name], s, held))

    meta = {
        "styles": list(STYLES),
        "names": names,
        "keywords": keywords,
        "parents": parents,
        "focus": sorted(focus),
        "sources": {style: {"package": p, "version": v, "licence": l} for style, (p, v, l) in STYLES.items()},
        "held_out_pairs": [[names[c], list(STYLES)[s]] for c, s in sorted(pairs)],
        "held_out_colours": held_colours,
    }
    columns = dict(zip(("images", "concept", "style", "held"), map(np.array, zip(*rows))))
    np.savez_compressed(args.out, **columns, meta=np.array(json.dumps(meta)))
    turned, held = len(rows) - len(drawn), columns["held"].sum()
    print(f"{len(concepts)} concepts, {len(drawn)} drawings, {turned} recoloured, {held} held out")


if __name__ == "__main__":
    main()
