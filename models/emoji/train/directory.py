"""Model directories in the layout of diffusers, and the safetensors format."""

import json
import pathlib
import struct

import torch

import diffusion
import text
from model import Model

_DTYPES = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64, "U8": torch.uint8}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def save_tensors(path, tensors, metadata):
    """Write name -> tensor as safetensors: the length of a JSON header, the header, the data."""
    header, data = {"__metadata__": metadata}, bytearray()
    for name in sorted(tensors, key=lambda name: (-tensors[name].element_size(), name)):
        t = tensors[name].detach().cpu().contiguous()
        raw = t.numpy().tobytes()
        header[name] = {
            "dtype": _NAMES[t.dtype],
            "shape": list(t.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def load_tensors(path):
    """name -> tensor of a safetensors file."""
    file = path.read_bytes()
    (length,) = struct.unpack("<Q", file[:8])
    tensors = {}
    for name, t in json.loads(file[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in t["data_offsets"])
            flat = torch.frombuffer(bytearray(file[begin:end]), dtype=_DTYPES[t["dtype"]])
            tensors[name] = flat.view(t["shape"])
    return tensors


def read_json(path):
    return json.loads(path.read_text())


def write_json(path, value, indent=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def pixels(x):
    """Pictures [B, 3, H, W] in about [-1, 1] as uint8 [B, H, W, 3]."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).contiguous()


class Directory:
    """A model directory, read: the model in float32, its words, its styles, its defaults."""

    def __init__(self, path):
        path = pathlib.Path(path)
        self.index, self.training = read_json(path / "model_index.json"), read_json(path / "training.json")
        self.styles, self.size = self.index["styles"], self.index["image_size"]
        self.vocab = read_json(path / "tokenizer/vocab.json")
        self.model = Model(read_json(path / "unet/config.json"), read_json(path / "text_encoder/config.json"))
        self.model.unet.load_state_dict(load_tensors(path / "unet/diffusion_pytorch_model.safetensors"))
        self.model.text_encoder.load_state_dict(load_tensors(path / "text_encoder/model.safetensors"))
        self.model.eval()

    def encode(self, prompts):
        """Token ids [B, TOKENS]."""
        return torch.tensor([text.encode(self.vocab, prompt) for prompt in prompts])

    @torch.no_grad()
    def draw(self, prompts, styles, noise, steps=None, guidance=None, trace=None):
        """Pictures [B, 3, H, W] in about [-1, 1] for as many prompts and names of styles."""
        states = self.model.text_encoder(self.encode(prompts))
        empty = self.model.text_encoder(self.encode([""]))
        style = torch.tensor([self.styles.index(name) for name in styles])
        steps = steps or self.index["default_num_inference_steps"]
        guidance = guidance or self.index["default_guidance_scale"]
        return diffusion.ddim(self.model.unet, states, style, empty, noise, steps, guidance, trace)


def save(path, model, vocab, styles, guidance, training):
    """Write a model directory in half precision."""
    path, unet, encoder = pathlib.Path(path), model.unet, model.text_encoder
    write_json(path / "unet/config.json", unet.config)
    write_json(path / "text_encoder/config.json", encoder.config)
    half = {name: t.half() for name, t in unet.state_dict().items()}
    save_tensors(path / "unet/diffusion_pytorch_model.safetensors", half, {"format": "pt"})
    half = {name: t.half() for name, t in encoder.state_dict().items()}
    save_tensors(path / "text_encoder/model.safetensors", half, {"format": "pt"})
    write_json(path / "tokenizer/vocab.json", vocab)
    write_json(
        path / "tokenizer/tokenizer_config.json",
        {
            "tokenizer_class": "WordTokenizer",
            "model_max_length": text.TOKENS,
            "bos_token": "<|startoftext|>",
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "unk_token": "<unk>",
            "do_lower_case": True,
            "remove": "['’]",
            "pattern": "[a-z0-9]+",
        },
    )
    write_json(path / "scheduler/scheduler_config.json", diffusion.CONFIG)
    write_json(
        path / "model_index.json",
        {
            "_class_name": "PixelTextStylePipeline",
            "_diffusers_version": "0.31.0",
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["word", "WordTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "styles": styles,
            "unconditional_style": len(styles),
            "default_guidance_scale": guidance,
            "default_num_inference_steps": 20,
            "image_size": unet.config["sample_size"],
        },
    )
    write_json(path / "training.json", training, indent=1)
