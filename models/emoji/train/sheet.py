"""Draw a contact sheet: a row for each prompt, a column for each style, and one noise for a row.

    python3 sheet.py --model model --out sheet.png "red heart" "blue apple" rocket

Several models are drawn beside each other.
"""

import argparse

import numpy as np
import torch
from PIL import Image

import directory


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", nargs="+", default=["../model"])
    parser.add_argument("--out", default="sheet.png")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--side", type=int, default=1, help="rows side by side")
    parser.add_argument("--scale", type=int, default=1, help="pixels for each of the model's")
    parser.add_argument("prompts", nargs="*", help="else the starred concepts")
    args = parser.parse_args()

    models = [directory.Directory(path) for path in args.model]
    size, styles = models[0].size, models[0].styles
    prompts = args.prompts or models[0].training["focus_concepts"]
    noise = torch.randn(len(prompts), 3, size, size, generator=torch.Generator().manual_seed(args.seed))
    rows = []
    for prompt, x in zip(prompts, noise):
        rows += [m.draw([prompt] * len(styles), styles, x.expand(len(styles), -1, -1, -1)) for m in models]
    tiles = directory.pixels(torch.cat(rows)).numpy()

    cell, columns = size + 2, len(models) * len(styles) * args.side
    lines = -(-len(tiles) // columns)
    sheet = np.full((lines * cell, columns * cell, 3), 160, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = i // columns * cell + 1, i % columns * cell + 1
        sheet[y : y + size, x : x + size] = tile
    Image.fromarray(np.kron(sheet, np.ones((args.scale, args.scale, 1), np.uint8))).save(args.out, optimize=True)


if __name__ == "__main__":
    main()
