"""The U-Net and the text encoder in plain PyTorch.

Names, shapes and arithmetic of the parameters are those of diffusers' UNet2DConditionModel and transformers'
CLIPTextModel, so far as the configurations below use them: a directory that export.py writes loads there too.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

import ops

# --------------------------------------------------------------------------------------------------- configurations


def unet_config(styles, size=32, channels=(32, 64, 128), groups=8, heads=4):
    """config.json of a U-Net that attends to the text at its lowest resolution alone."""
    down = ["DownBlock2D"] * (len(channels) - 1) + ["CrossAttnDownBlock2D"]
    return {
        "_class_name": "UNet2DConditionModel",
        "_diffusers_version": "0.31.0",
        "act_fn": "silu",
        "attention_head_dim": heads,  # the number of heads, in diffusers' spelling
        "block_out_channels": list(channels),
        "center_input_sample": False,
        "class_embed_type": None,
        "cross_attention_dim": channels[-1],
        "down_block_types": down,
        "downsample_padding": 1,
        "dropout": 0.0,
        "flip_sin_to_cos": True,
        "freq_shift": 0,
        "in_channels": 3,
        "layers_per_block": 1,
        "mid_block_scale_factor": 1,
        "mid_block_type": "UNetMidBlock2DCrossAttn",
        "norm_eps": 1e-05,
        "norm_num_groups": groups,
        "num_class_embeds": styles + 1,  # the last is "no style"
        "only_cross_attention": False,
        "out_channels": 3,
        "resnet_time_scale_shift": "scale_shift",
        "sample_size": size,
        "time_embedding_type": "positional",
        "up_block_types": [kind.replace("Down", "Up") for kind in reversed(down)],
        "use_linear_projection": True,
    }


def text_config(words, width=128, tokens=16, layers=1):
    """config.json of a text encoder for a vocabulary of so many words."""
    return {
        "_class_name": "CLIPTextModel",
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
        "hidden_act": "quick_gelu",
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": tokens,
        "num_attention_heads": 4,
        "num_hidden_layers": layers,
        "projection_dim": width,
        "vocab_size": words,
        "attention_dropout": 0.0,
        "torch_dtype": "float16",
    }


class Model(nn.Module):
    """Both networks: noisy pictures [B, 3, H, W], timesteps [B], token ids [B, L], styles [B] -> velocity."""

    def __init__(self, unet, text):
        super().__init__()
        self.unet, self.text_encoder = UNet(unet), TextEncoder(text)

    def forward(self, x, t, ids, style):
        return self.unet(x, t, self.text_encoder(ids), style)

    def parameter_count(self):
        return sum(p.numel() for p in self.parameters())


# ------------------------------------------------------------------------------------------------------------ U-Net


def timestep_embedding(t, width):
    """[cos | sin] of t at falling frequencies."""
    half = width // 2
    f = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=t.device) / half)
    angle = t.float()[:, None] * f
    return torch.cat([angle.cos(), angle.sin()], -1)


class TimestepEmbedding(nn.Module):
    def __init__(self, cin, c):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(cin, c), nn.Linear(c, c)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class ResnetBlock2D(nn.Module):
    """Two convolutions; time and style scale and shift the second norm. The last convolution starts at zero."""

    def __init__(self, cin, cout, emb, groups, eps):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, cin, eps)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.time_emb_proj = nn.Linear(emb, 2 * cout)
        self.norm2 = nn.GroupNorm(groups, cout, eps)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x, emb):
        scale, shift = self.time_emb_proj(emb).chunk(2, 1)
        h = self.conv1(ops.group_norm(x, self.norm1, silu=True))
        h = self.conv2(ops.group_norm(h, self.norm2, scale, shift, silu=True))
        return h + self.conv_shortcut(x)


def split(x, heads):
    """[B, L, C] -> [B, heads, L, C / heads]."""
    b, n, c = x.shape
    return x.view(b, n, heads, c // heads).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(c, c, bias=False)
        self.to_k = nn.Linear(context, c, bias=False)
        self.to_v = nn.Linear(context, c, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(c, c)])

    def forward(self, x, context):
        b, n, c = x.shape
        q, k, v = (split(p, self.heads) for p in (self.to_q(x), self.to_k(context), self.to_v(context)))
        weights = (q * (c // self.heads) ** -0.5 @ k.transpose(-1, -2)).softmax(-1)
        return self.to_out[0]((weights @ v).transpose(1, 2).reshape(b, n, c))


class GEGLU(nn.Module):
    def __init__(self, c, inner):
        super().__init__()
        self.proj = nn.Linear(c, 2 * inner)

    def forward(self, x):
        return ops.geglu(self.proj(x))


class FeedForward(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.net = nn.Sequential(GEGLU(c, 4 * c), nn.Identity(), nn.Linear(4 * c, c))

    def forward(self, x):
        return self.net(x)


class BasicTransformerBlock(nn.Module):
    def __init__(self, c, context, heads):
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(c), Attention(c, c, heads)
        self.norm2, self.attn2 = nn.LayerNorm(c), Attention(c, context, heads)
        self.norm3, self.ff = nn.LayerNorm(c), FeedForward(c)

    def forward(self, x, context):
        y = ops.layer_norm(x, self.norm1)
        x = x + self.attn1(y, y)
        x = x + self.attn2(ops.layer_norm(x, self.norm2), context)
        return x + self.ff(ops.layer_norm(x, self.norm3))


class Transformer2DModel(nn.Module):
    """Its last layer starts small, not at zero: the text has a gradient from the first step."""

    def __init__(self, c, context, heads, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, c, 1e-6)
        self.proj_in = nn.Linear(c, c)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(c, context, heads)])
        self.proj_out = nn.Linear(c, c)
        nn.init.normal_(self.proj_out.weight, std=0.02)
        nn.init.zeros_(self.proj_out.bias)

    def forward(self, x, context):
        b, c, h, w = x.shape
        y = self.proj_in(ops.group_norm(x, self.norm).permute(0, 2, 3, 1).reshape(b, h * w, c))
        for block in self.transformer_blocks:
            y = block(y, context)
        return x + self.proj_out(y).view(b, h, w, c).permute(0, 3, 1, 2)


class Downsample2D(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x)


class Upsample2D(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class DownBlock(nn.Module):
    def __init__(self, kind, cin, c, last, emb, cfg):
        super().__init__()
        layers, groups, heads = cfg["layers_per_block"], cfg["norm_num_groups"], cfg["attention_head_dim"]
        self.resnets = nn.ModuleList(
            ResnetBlock2D(cin if i == 0 else c, c, emb, groups, cfg["norm_eps"]) for i in range(layers)
        )
        self.attentions, self.downsamplers = None, None
        if kind.startswith("CrossAttn"):
            self.attentions = nn.ModuleList(
                Transformer2DModel(c, cfg["cross_attention_dim"], heads, groups) for _ in range(layers)
            )
        if not last:
            self.downsamplers = nn.ModuleList([Downsample2D(c)])

    def forward(self, x, emb, context, skips):
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, emb)
            if self.attentions is not None:
                x = self.attentions[i](x, context)
            skips.append(x)
        if self.downsamplers is not None:
            x = self.downsamplers[0](x)
            skips.append(x)
        return x


class UpBlock(nn.Module):
    def __init__(self, kind, cprev, c, cskip, last, emb, cfg):
        super().__init__()
        layers, groups, heads = cfg["layers_per_block"] + 1, cfg["norm_num_groups"], cfg["attention_head_dim"]
        inputs = [cprev] + [c] * (layers - 1)
        skips = [c] * (layers - 1) + [cskip]
        self.resnets = nn.ModuleList(
            ResnetBlock2D(x + skip, c, emb, groups, cfg["norm_eps"]) for x, skip in zip(inputs, skips)
        )
        self.attentions, self.upsamplers = None, None
        if kind.startswith("CrossAttn"):
            self.attentions = nn.ModuleList(
                Transformer2DModel(c, cfg["cross_attention_dim"], heads, groups) for _ in range(layers)
            )
        if not last:
            self.upsamplers = nn.ModuleList([Upsample2D(c)])

    def forward(self, x, emb, context, skips):
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], 1), emb)
            if self.attentions is not None:
                x = self.attentions[i](x, context)
        return x if self.upsamplers is None else self.upsamplers[0](x)


class MidBlock(nn.Module):
    def __init__(self, c, emb, cfg):
        super().__init__()
        groups, heads = cfg["norm_num_groups"], cfg["attention_head_dim"]
        self.attentions = nn.ModuleList([Transformer2DModel(c, cfg["cross_attention_dim"], heads, groups)])
        self.resnets = nn.ModuleList(ResnetBlock2D(c, c, emb, groups, cfg["norm_eps"]) for _ in range(2))

    def forward(self, x, emb, context):
        return self.resnets[1](self.attentions[0](self.resnets[0](x, emb), context), emb)


class UNet(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.config = cfg
        channels = cfg["block_out_channels"]
        emb, levels = 4 * channels[0], len(channels)
        self.conv_in = nn.Conv2d(cfg["in_channels"], channels[0], 3, padding=1)
        self.time_embedding = TimestepEmbedding(channels[0], emb)
        self.class_embedding = nn.Embedding(cfg["num_class_embeds"], emb)
        self.down_blocks = nn.ModuleList(
            DownBlock(kind, channels[max(i - 1, 0)], channels[i], i == levels - 1, emb, cfg)
            for i, kind in enumerate(cfg["down_block_types"])
        )
        self.mid_block = MidBlock(channels[-1], emb, cfg)
        up = channels[::-1]
        self.up_blocks = nn.ModuleList(
            UpBlock(kind, up[max(i - 1, 0)], up[i], up[min(i + 1, levels - 1)], i == levels - 1, emb, cfg)
            for i, kind in enumerate(cfg["up_block_types"])
        )
        self.conv_norm_out = nn.GroupNorm(cfg["norm_num_groups"], channels[0], cfg["norm_eps"])
        self.conv_out = nn.Conv2d(channels[0], cfg["out_channels"], 3, padding=1)
        nn.init.normal_(self.class_embedding.weight, std=0.5)
        nn.init.zeros_(self.conv_out.weight)
        nn.init.zeros_(self.conv_out.bias)

    def forward(self, x, t, context, style):
        emb = self.time_embedding(timestep_embedding(t, self.conv_in.out_channels).to(x.dtype))
        emb = F.silu(emb + self.class_embedding(style))
        x = self.conv_in(x)
        skips = [x]
        for block in self.down_blocks:
            x = block(x, emb, context, skips)
        x = self.mid_block(x, emb, context)
        for block in self.up_blocks:
            x = block(x, emb, context, skips)
        return self.conv_out(ops.group_norm(x, self.conv_norm_out, silu=True))


# ----------------------------------------------------------------------------------------------------- text encoder


class CLIPAttention(nn.Module):
    def __init__(self, c, heads):
        super().__init__()
        self.heads = heads
        self.q_proj, self.k_proj = nn.Linear(c, c), nn.Linear(c, c)
        self.v_proj, self.out_proj = nn.Linear(c, c), nn.Linear(c, c)

    def forward(self, x, mask):
        b, n, c = x.shape
        q, k, v = (split(p(x), self.heads) for p in (self.q_proj, self.k_proj, self.v_proj))
        weights = (q * (c // self.heads) ** -0.5 @ k.transpose(-1, -2) + mask).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class CLIPMLP(nn.Module):
    def __init__(self, c, inner):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(c, inner), nn.Linear(inner, c)

    def forward(self, x):
        h = self.fc1(x)
        return self.fc2(h * torch.sigmoid(1.702 * h))


class CLIPLayer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        c, eps = cfg["hidden_size"], cfg["layer_norm_eps"]
        self.layer_norm1, self.self_attn = nn.LayerNorm(c, eps), CLIPAttention(c, cfg["num_attention_heads"])
        self.layer_norm2, self.mlp = nn.LayerNorm(c, eps), CLIPMLP(c, cfg["intermediate_size"])

    def forward(self, x, mask):
        x = x + self.self_attn(ops.layer_norm(x, self.layer_norm1), mask)
        return x + self.mlp(ops.layer_norm(x, self.layer_norm2))


class CLIPEmbeddings(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.token_embedding = nn.Embedding(cfg["vocab_size"], cfg["hidden_size"])
        self.position_embedding = nn.Embedding(cfg["max_position_embeddings"], cfg["hidden_size"])
        nn.init.normal_(self.token_embedding.weight, std=0.5)
        nn.init.normal_(self.position_embedding.weight, std=0.1)

    def forward(self, ids):
        return self.token_embedding(ids) + self.position_embedding.weight[: ids.shape[1]]


class CLIPEncoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.layers = nn.ModuleList(CLIPLayer(cfg) for _ in range(cfg["num_hidden_layers"]))


class CLIPTextTransformer(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.embeddings = CLIPEmbeddings(cfg)
        self.encoder = CLIPEncoder(cfg)
        self.final_layer_norm = nn.LayerNorm(cfg["hidden_size"], cfg["layer_norm_eps"])

    def forward(self, ids):
        x = self.embeddings(ids)
        n = ids.shape[1]
        mask = torch.full((n, n), -torch.inf, dtype=x.dtype, device=x.device).triu(1)  # causal, none for padding
        for layer in self.encoder.layers:
            x = layer(x, mask)
        return ops.layer_norm(x, self.final_layer_norm)


class TextEncoder(nn.Module):
    """Token ids [B, L] -> the last hidden states [B, L, C]."""

    def __init__(self, cfg):
        super().__init__()
        self.config = cfg
        self.text_model = CLIPTextTransformer(cfg)

    def forward(self, ids):
        return self.text_model(ids)
