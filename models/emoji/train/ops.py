"""Group norm, layer norm and GEGLU, with gradients: by PyTorch, or by kernels.c for bfloat16 on a CPU.

PyTorch 1.13 computes the group norm of a channels-last bfloat16 tensor wrongly on a CPU (the output of the U-Net was
off by a third), and slowly. use_kernels() has kernels.c compiled and used from then on; without it the norms of such
tensors go through float32.
"""

import ctypes
import pathlib
import subprocess
import tempfile

import torch
import torch.nn.functional as F

_kernels = None


def use_kernels():
    """Compile kernels.c with gcc for this machine."""
    global _kernels
    source = pathlib.Path(__file__).with_name("kernels.c")
    with tempfile.TemporaryDirectory() as folder:
        library = pathlib.Path(folder) / "kernels.so"
        options = "-O3 -march=native -mprefer-vector-width=512 -ffast-math -fopenmp -shared -fPIC".split()
        subprocess.run(["gcc", *options, "-o", library, source, "-lmvec", "-lm"], check=True)
        _kernels = ctypes.CDLL(str(library))


def keep_memory():
    """Have glibc keep freed memory, instead of mapping fresh pages for every large tensor."""
    trim_threshold, top_pad, mmap_max = -1, -2, -4
    libc = ctypes.CDLL(None)
    for option, value in ((mmap_max, 0), (trim_threshold, 2**31 - 1), (top_pad, 256 << 20)):
        libc.mallopt(option, value)


def _call(name, *args):
    convert = {torch.Tensor: lambda t: ctypes.c_void_p(t.data_ptr()), float: ctypes.c_float, int: int, bool: int}
    getattr(_kernels, name)(*(convert[type(a)](a) for a in args))


def _fast(x):
    return _kernels is not None and x.dtype == torch.bfloat16 and not x.is_cuda


# ------------------------------------------------------------------------------------------------------- group norm


def group_norm(x, norm, scale=None, shift=None, silu=False):
    """silu(norm(x) * (1 + scale) + shift) for x [B, C, H, W], scale and shift [B, C]."""
    if _fast(x):
        mul = norm.weight.float().expand(x.shape[0], -1)
        add = norm.bias.float().expand(x.shape[0], -1)
        if scale is not None:
            mul, add = mul * (1 + scale.float()), add * (1 + scale.float()) + shift.float()
        return _GroupNorm.apply(x, mul.contiguous(), add.contiguous(), norm.num_groups, norm.eps, silu)
    y = F.group_norm(x.float(), norm.num_groups, norm.weight.float(), norm.bias.float(), norm.eps)
    if scale is not None:
        y = y * (1 + scale.float())[:, :, None, None] + shift.float()[:, :, None, None]
    return (F.silu(y) if silu else y).to(x.dtype)


class _GroupNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale, shift, groups, eps, silu):
        b, c, h, w = x.shape
        x = x.contiguous(memory_format=torch.channels_last)
        y = torch.empty_like(x)
        mean, rdev = torch.empty(b, groups), torch.empty(b, groups)
        _call("group_norm", x, scale, shift, y, mean, rdev, b, h * w, c, groups, eps, silu)
        ctx.save_for_backward(x, scale, shift, mean, rdev)
        ctx.groups, ctx.silu = groups, silu
        return y

    @staticmethod
    def backward(ctx, dy):
        x, scale, shift, mean, rdev = ctx.saved_tensors
        b, c, h, w = x.shape
        dy = dy.contiguous(memory_format=torch.channels_last)
        dx, dscale, dshift = torch.empty_like(x), torch.empty(b, c), torch.empty(b, c)
        given, wanted = (x, dy, scale, shift, mean, rdev), (dx, dscale, dshift)
        _call("group_norm_backward", *given, *wanted, b, h * w, c, ctx.groups, ctx.silu)
        return dx, dscale, dshift, None, None, None


# ------------------------------------------------------------------------------------------------------- layer norm


def layer_norm(x, norm):
    """norm(x) for x [..., C]."""
    if _fast(x):
        return _LayerNorm.apply(x, norm.weight.float(), norm.bias.float(), norm.eps)
    return norm(x)


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gamma, beta, eps):
        x = x.contiguous()
        c = x.shape[-1]
        rows = x.numel() // c
        y, mean, rdev = torch.empty_like(x), torch.empty(rows), torch.empty(rows)
        _call("layer_norm", x, gamma, beta, y, mean, rdev, rows, c, eps)
        ctx.save_for_backward(x, gamma, mean, rdev)
        return y

    @staticmethod
    def backward(ctx, dy):
        x, gamma, mean, rdev = ctx.saved_tensors
        c = x.shape[-1]
        dx, dgamma, dbeta = torch.empty_like(x), torch.zeros(c), torch.zeros(c)
        _call("layer_norm_backward", x, dy.contiguous(), gamma, mean, rdev, dx, dgamma, dbeta, x.numel() // c, c)
        return dx, dgamma, dbeta, None


# ------------------------------------------------------------------------------------------------------------ GEGLU


def geglu(x):
    """a * gelu(g) for x [..., 2 C], its halves a and g."""
    if _fast(x):
        return _GEGLU.apply(x)
    a, g = x.chunk(2, -1)
    return a * F.gelu(g)


class _GEGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x = x.contiguous()
        c = x.shape[-1] // 2
        y = x.new_empty(*x.shape[:-1], c)
        _call("geglu", x, y, y.numel() // c, c)
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        c, dx = x.shape[-1] // 2, torch.empty_like(x)
        _call("geglu_backward", x, dy.contiguous(), dx, dy.numel() // c, c)
        return dx
