"""Writes preprocess.json beside it: what CLIPImageProcessor makes of pictures, step by step as its
documentation says, with Pillow 9.4 and numpy."""

import json
import math

import numpy
from PIL import Image

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def picture(width, height):
    y, x = numpy.mgrid[0:height, 0:width]
    return numpy.stack([(37 * x + 11 * y) % 256, (x * y * 5) % 256, (200 - 3 * x + 7 * y) % 256], -1).astype(numpy.uint8)


def process(pixels, config):
    height, width = pixels.shape[:2]
    if config.get("do_resize", True):
        size = config.get("size", {"shortest_edge": 224})
        if isinstance(size, int):
            size = {"shortest_edge": size}
        if "shortest_edge" in size:
            short, long = min(width, height), max(width, height)
            new = size["shortest_edge"], int(size["shortest_edge"] * long / short)
            width, height = new if width <= height else new[::-1]
        else:
            width, height = size["width"], size["height"]
        pixels = numpy.array(Image.fromarray(pixels).resize((width, height), resample=config.get("resample", 3)))
    if config.get("do_center_crop", True):
        size = config.get("crop_size", 224)
        crop_h, crop_w = (size, size) if isinstance(size, int) else (size["height"], size["width"])
        padded = numpy.zeros((max(height, crop_h), max(width, crop_w), 3), numpy.uint8)
        top, left = math.ceil((padded.shape[0] - height) / 2), math.ceil((padded.shape[1] - width) / 2)
        padded[top:top + height, left:left + width] = pixels
        top, left = (height - crop_h) // 2 + top, (width - crop_w) // 2 + left
        pixels = padded[top:top + crop_h, left:left + crop_w]
    values = pixels.astype(numpy.float32)
    if config.get("do_rescale", True):
        values = (pixels * config.get("rescale_factor", 1 / 255)).astype(numpy.float32)
    if config.get("do_normalize", True):
        mean, std = (numpy.array(config.get(k, d), numpy.float32) for k, d in (("image_mean", MEAN), ("image_std", STD)))
        values = (values - mean) / std
    return values


cases = [
    ((13, 9), {"size": 4, "crop_size": 4, "feature_extractor_type": "CLIPFeatureExtractor"}),
    ((9, 14), {"size": {"shortest_edge": 5}, "crop_size": {"height": 5, "width": 5}, "image_processor_type": "CLIPImageProcessor"}),
    ((5, 4), {"size": {"height": 7, "width": 3}, "do_center_crop": False, "resample": 2}),
    ((6, 11), {"size": {"shortest_edge": 3}, "crop_size": {"height": 4, "width": 6}, "resample": 1}),
    ((5, 2), {"do_resize": False, "crop_size": {"height": 5, "width": 2}, "image_mean": [0.5, 0.25, 0], "image_std": [0.5, 2, -1]}),
    ((4, 3), {"do_resize": False, "do_center_crop": False, "do_normalize": False, "rescale_factor": 0.01}),
    ((4, 3), {"do_resize": False, "do_center_crop": False, "do_rescale": False, "do_normalize": False}),
    ((3, 3), {"size": 3, "crop_size": 2, "do_rescale": False, "image_mean": [128, 100, 90], "image_std": [64, 32, 16]}),
]
out = []
for (width, height), config in cases:
    values = process(picture(width, height), config)
    out.append({"width": width, "height": height, "config": config, "shape": values.shape, "pixels": [float(v) for v in values.ravel()]})
with open("preprocess.json", "w") as f:
    f.write("[\n" + ",\n".join(json.dumps(case) for case in out) + "\n]\n")
