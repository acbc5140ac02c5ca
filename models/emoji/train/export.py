"""Write the best average of a run as a model directory in half precision.

    python3 export.py --checkpoint run/checkpoint.pt --out model
"""

import argparse
import pathlib

import torch

import directory
from model import Model
from train import bind


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", default="run/checkpoint.pt")
    parser.add_argument("--out", default="model")
    parser.add_argument("--guidance", type=float, default=1.5, help="the default that model_index.json names")
    args = parser.parse_args()

    run = torch.load(args.checkpoint, map_location="cpu")
    model = bind(Model(run["unet"], run["encoder"]), run["best"]["average"])
    meta, options = run["meta"], run["args"]
    init, _, _ = options.pop("init"), options.pop("data"), options.pop("out")
    stages = directory.read_json(pathlib.Path(init) / "training.json")["stages"] if init else []
    stages.append({"images": run["best"]["pictures"], **options})
    training = {
        "images_seen": sum(stage["images"] for stage in stages),
        "stages": stages,
        "concepts": [name for name, parent in zip(meta["names"], meta["parents"]) if parent is None],
        "focus_concepts": meta["focus"],
        "held_out_pairs": meta["held_out_pairs"],
        "held_out_colours": meta["held_out_colours"],
        "sources": meta["sources"],
    }
    directory.save(args.out, model, run["vocab"], meta["styles"], args.guidance, training)
    print(f"{model.parameter_count()} parameters, {training['images_seen']} images")


if __name__ == "__main__":
    main()
