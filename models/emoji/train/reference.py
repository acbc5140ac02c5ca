"""Write what PyTorch computes in float32 from a model directory: the values that golden_test.go compares with.

    python3 reference.py --model ../model --out ../testdata/golden.safetensors
"""

import argparse
import pathlib

import torch

import directory

PICTURES = ("red heart", "twemoji"), ("grinning face", "noto"), ("pizza", "fluent")
TIMES = 999, 749, 499, 249, 49  # of the 20 steps
SEED = 1000  # of the first picture


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="../model")
    parser.add_argument("--out", type=pathlib.Path, default="../testdata/golden.safetensors")
    args = parser.parse_args()

    m, tensors = directory.Directory(args.model), {}
    for k, (prompt, style) in enumerate(PICTURES):
        noise = torch.randn(1, 3, m.size, m.size, generator=torch.Generator().manual_seed(SEED + k))
        ids, empty, trace = m.encode([prompt]), m.encode([""]), []
        image = m.draw([prompt], [style], noise, trace=trace)
        with torch.no_grad():
            states, empty_states = m.model.text_encoder(ids), m.model.text_encoder(empty)
        values = {
            "prompt_utf8": torch.tensor(list(prompt.encode()), dtype=torch.uint8),
            "ids": ids,
            "uncond_ids": empty,
            "style": torch.tensor([m.styles.index(style)]),
            "uncond_style": torch.tensor([len(m.styles)]),
            "text": states,
            "uncond_text": empty_states,
            "noise": noise,
            "image": image,
            "image_u8": directory.pixels(image),
        }
        for t, x, absent, present in trace:
            if t in TIMES:
                values |= {f"t{t}.x": x, f"t{t}.uncond": absent, f"t{t}.cond": present}
        tensors |= {f"p{k}.{name}": value for name, value in values.items()}
    about = {
        "prompts": "|".join(prompt for prompt, _ in PICTURES),
        "styles": "|".join(style for _, style in PICTURES),
        "steps": str(m.index["default_num_inference_steps"]),
        "guidance_scale": str(m.index["default_guidance_scale"]),
        "computed": f"in float32 by PyTorch {torch.__version__}",
    }
    directory.save_tensors(args.out, tensors, about)


if __name__ == "__main__":
    main()
