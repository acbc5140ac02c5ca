# PyTorch's side of pytorch.go. Requests come as lines of JSON, some followed by float32 values; replies are a line of
# JSON, some followed by values.
import json
import sys
import time

import torch
import torch.nn.functional as F


def attention(c, q, *operands):
    """The sum over contexts of weight·softmax(scale·q·kᵀ + mask)·v, a matrix for each head, as
    diffusers' AttnProcessor does it: torch.baddbmm, softmax, torch.bmm."""
    heads, size, queries = c["batch"], c["size"], c["queries"]
    q = q.view(heads, queries, size)
    contexts, mask = [], None
    for i, (keys, weight) in enumerate(zip(c["keys"], c["weights"])):
        k, v = (x.view(heads, keys, size) for x in operands[2 * i : 2 * i + 2])
        # Products of less than 400 multiplications multiply the result's memory, not yet written, by a beta of 0, and what
        # lies there may be NaN (torch 1.13).
        beta = 0 if queries * keys * size >= 400 else 1
        contexts.append((k.transpose(1, 2), v, weight, torch.zeros(heads, queries, keys), beta))
    if c["mask"]:
        mask = operands[-1].view(1, c["mask"], c["keys"][0]).expand(heads, queries, c["keys"][0])

    def run():
        y = None
        for k, v, weight, zeros, beta in contexts:
            if y is None and mask is not None:
                scores = torch.baddbmm(mask, q, k, beta=1, alpha=c["scale"])
            else:
                scores = torch.baddbmm(zeros, q, k, beta=beta, alpha=c["scale"])
            one = torch.bmm(scores.softmax(dim=-1), v)
            y = one if y is None else y + weight * one
        return y

    return run


def group(c, x, gain, offset, scale=None, shift=None):
    """A norm over groups of channels of an image, NCHW or channels last, ·(1 + scale) + shift where there is such,
    with SiLU where c says so. The result is NCHW."""
    x = x.view(1, c["channels"], c["height"], c["width"])
    if c["last"]:
        x = x.contiguous(memory_format=torch.channels_last)
    if scale is not None:
        scale, shift = (1 + scale).view(1, -1, 1, 1), shift.view(1, -1, 1, 1)

    def run():
        y = F.group_norm(x, c["groups"], gain, offset, c["eps"])
        if scale is not None:
            y = y.mul_(scale).add_(shift)
        return F.silu(y, inplace=True) if c["silu"] else y

    return run


def layer(c, x, gain, offset):
    """A norm of each row with gain and offset, or without and then ·(1 + gain) + offset where c says ada."""
    x, scale = x.view(-1, c["channels"]), 1 + gain

    def run():
        if c["ada"]:
            return F.layer_norm(x, (c["channels"],), None, None, c["eps"]).mul_(scale).add_(offset)
        return F.layer_norm(x, (c["channels"],), gain, offset, c["eps"])

    return run


def values(n):
    data = bytearray(4 * n)
    view = memoryview(data)
    while view:
        got = sys.stdin.buffer.readinto(view)
        if not got:
            sys.exit()
        view = view[got:]
    return torch.frombuffer(data, dtype=torch.float32) if n else torch.empty(0)


def reply(what, data=b""):
    sys.stdout.buffer.write(json.dumps(what).encode() + b"\n" + data)
    sys.stdout.buffer.flush()


def serve():
    calls = {}
    reply({"version": torch.__version__})
    for line in iter(sys.stdin.buffer.readline, b""):
        c = json.loads(line)
        do, number = c["do"], c.get("number")
        if do == "open":
            operands = [values(n) for n in c["sizes"]]
            calls[number] = {"call": globals()[c["op"]](c, *operands), "threads": c["threads"], "result": None}
            reply({})
        elif do == "run":
            one = calls[number]
            torch.set_num_threads(one["threads"])
            for _ in range(c["times"]):
                one["result"] = one["call"]()
            reply({})
        elif do == "output":
            result = calls[number]["result"].contiguous().numpy().tobytes()
            reply({"size": len(result) // 4}, result)
        elif do == "close":
            del calls[number]
            reply({})
        elif do == "time":
            reply({"seconds": time.process_time()})  # of all threads


with torch.inference_mode():
    serve()
