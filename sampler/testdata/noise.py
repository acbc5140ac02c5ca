#!/usr/bin/env python3
"""Writes noise.json and noise.f32: what torch.manual_seed and torch.randn give on a CPU.

noise.f32 holds float32 values, little-endian. noise.json lists draws: after manual_seed(seed), one
randn of each size in "sizes"; "fnv1a" is the 64-bit FNV-1a hash of all their bytes; "offset", where
it is given, is where in noise.f32 the values are, counted in values.

Made with PyTorch 1.13.1 (Debian 12, x86-64: its AVX2 code).
"""
import json
import os

import torch

SEEDS = [0, 1, 7, 42, 2**32 + 5, 123456789012]
DRAWS = [[1], [15], [16], [17], [4096], [1 * 4 * 64 * 64], [1, 3, 17, 2, 1, 64, 5]]
HASH_ONLY = lambda seed, sizes: sizes == [16384] and seed != 7


def fnv1a(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & (1 << 64) - 1
    return f"{h:016x}"


here = os.path.dirname(os.path.abspath(__file__))
draws, offset = [], 0
with open(os.path.join(here, "noise.f32"), "wb") as values:
    for seed in SEEDS:
        for sizes in DRAWS:
            torch.manual_seed(seed)
            data = torch.cat([torch.randn(n) for n in sizes]).numpy().astype("<f4").tobytes()
            draw = {"seed": seed, "sizes": sizes, "fnv1a": fnv1a(data)}
            if not HASH_ONLY(seed, sizes):
                draw["offset"] = offset
                values.write(data)
                offset += len(data) // 4
            draws.append(draw)
with open(os.path.join(here, "noise.json"), "w") as index:
    index.write("[\n" + ",\n".join(json.dumps(d) for d in draws) + "\n]\n")
