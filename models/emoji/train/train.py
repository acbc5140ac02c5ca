"""Train the emoji model.

    python3 train.py --data emoji.npz --init ../model --minutes 60 --out run

On a CPU one worker process for each core computes gradients in bfloat16, a thread each, and adds them to weights that
all workers share, without waiting for the others. Stop and continue it as you like (kill -STOP, -CONT on its process
group), or kill it and give the same command again: it goes on from run/checkpoint.pt.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded

import argparse
import contextlib
import json
import math
import multiprocessing
import pathlib
import random
import time

import numpy as np
import torch

import diffusion
import directory
import ops
import text
from model import Model, text_config, unet_config

WARM_UP = 200  # steps
BETAS = 0.9, 0.99
STALE = 32  # a gradient that so many others have overtaken is dropped
CAPTIONS = 32  # for a concept
NO_TEXT, NO_STYLE, NOTHING = 0.08, 0.08, 0.06  # the share of pictures that are shown without


class Data:
    """The training set of data.py as tensors."""

    def __init__(self, path, vocab, other, recoloured, device):
        file = np.load(path)
        self.meta = meta = json.loads(str(file["meta"]))
        names, focus = meta["names"], set(meta["focus"])
        self.vocab = vocab or text.vocabulary(names + [k for keywords in meta["keywords"] for k in keywords])
        self.styles, self.device = len(meta["styles"]), device
        self.images = torch.from_numpy(file["images"]).permute(0, 3, 1, 2).contiguous().to(device)
        self.concept = torch.from_numpy(file["concept"]).to(device)
        self.style = torch.from_numpy(file["style"]).to(device)
        self.names = torch.tensor([text.encode(self.vocab, name) for name in names], device=device)
        self.captions = torch.tensor([self._captions(i) for i in range(len(names))], device=device)
        self.empty = torch.tensor(text.encode(self.vocab, ""), device=device)

        # how often each picture is taken: shares of the concepts without a star and of recoloured pictures
        held = torch.from_numpy(file["held"]).to(device)
        is_recoloured = torch.tensor([meta["parents"][c] is not None for c in file["concept"]], device=device)
        is_focus = torch.tensor([(meta["parents"][c] or names[c]) in focus for c in file["concept"]], device=device)
        self.weights = torch.zeros(len(held), device=device)
        for group, share in (
            (is_focus & ~is_recoloured, (1 - other) * (1 - recoloured)),
            (~is_focus & ~is_recoloured, other * (1 - recoloured)),
            (is_focus & is_recoloured, (1 - other) * recoloured),
            (~is_focus & is_recoloured, other * recoloured),
        ):
            self.weights[group & ~held] = share / max((group & ~held).sum().item(), 1)
        self.familiar = (is_focus & ~is_recoloured & ~held).nonzero()[:, 0]
        self.unseen = (is_focus & held).nonzero()[:, 0]

    def _captions(self, concept):
        """Mostly the name; some with a keyword or shuffled, and some of each with a word lost."""
        rng, captions = random.Random(concept), []
        for _ in range(CAPTIONS):
            words, keywords, r = text.words(self.meta["names"][concept]), self.meta["keywords"][concept], rng.random()
            if r < 0.2 and keywords:
                keyword = text.words(rng.choice(keywords))
                words = rng.choice((words + keyword, keyword + words))
            elif r < 0.3:
                rng.shuffle(words)
            if rng.random() < 0.1:
                words[rng.randrange(len(words))] = "<unk>"
            captions.append(text.encode(self.vocab, words))
        return captions

    def pictures(self, index):
        return self.images[index].float() / 127.5 - 1

    def batch(self, size):
        """Pictures, token ids, styles."""
        index = torch.multinomial(self.weights, size, replacement=True)
        ids = self.captions[self.concept[index], torch.randint(CAPTIONS, (size,), device=self.device)]
        style, u = self.style[index], torch.rand(size, device=self.device)
        drop_text = (u < NO_TEXT) | (u > 1 - NOTHING)
        drop_style = (u > NO_TEXT) & (u < NO_TEXT + NO_STYLE) | (u > 1 - NOTHING)
        ids = torch.where(drop_text[:, None], self.empty, ids)
        return self.pictures(index), ids, torch.where(drop_style, self.styles, style)


class Validation:
    """Fixed pictures, times and noise: of what is trained on, and of what is held out."""

    PICTURES, BUCKETS = 256, 4

    def __init__(self, data):
        g = torch.Generator().manual_seed(1)
        self.parts = {}
        for name, pool in (("familiar", data.familiar), ("unseen", data.unseen)):
            index = pool[torch.arange(self.PICTURES) * len(pool) // self.PICTURES]
            x = data.pictures(index)
            share = (torch.randperm(self.PICTURES, generator=g) + 0.5) / self.PICTURES
            t = (share * diffusion.TIMES).long().to(x.device)
            noise = torch.randn(x.shape, generator=g).to(x.device)
            self.parts[name] = x, t, noise, data.names[data.concept[index]], data.style[index]

    @torch.no_grad()
    def losses(self, model):
        """name -> the weighted loss, then the plain loss by quarters of the time."""
        signal, losses = diffusion.signal().to(next(model.parameters()).device), {}
        for name, columns in self.parts.items():
            weighted, bucket = 0.0, torch.zeros(self.BUCKETS)
            for x, t, noise, ids, style in zip(*(column.split(64) for column in columns)):
                noisy, velocity = diffusion.mix(signal[t], x, noise)
                loss = (model(noisy, t, ids, style) - velocity).pow(2).mean((1, 2, 3))
                weighted += (loss * loss_weight(signal[t])).sum().item()
                bucket.index_add_(0, (t * self.BUCKETS // diffusion.TIMES).cpu(), loss.cpu())
            losses[name] = [weighted / self.PICTURES, *(bucket / self.PICTURES * self.BUCKETS).tolist()]
        return losses


def loss_weight(signal):
    """1 for noisy pictures, less where the signal is more than four times the noise (min-SNR)."""
    return ((1 - signal) * 5).clamp(max=1)


class State:
    """Weights, their moving average and Adam's moments: vectors, shared by the workers where these are processes."""

    VECTORS = "weights", "average", "mean", "square"

    def __init__(self, weights, decay, trained):
        self.weights, self.average = weights, weights.clone()
        self.decay, self.trained = decay, trained
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)
        self.counts = torch.zeros(2, dtype=torch.int64)  # steps, pictures

    def share(self):
        for tensor in (*(getattr(self, name) for name in self.VECTORS), self.counts):
            tensor.share_memory_()

    @property
    def steps(self):
        return int(self.counts[0])

    def step(self, gradient, rate, pictures):
        """One step of Adam."""
        self.counts += torch.tensor([1, pictures])
        steps, (b1, b2) = self.steps, BETAS
        gradient *= min(1.0, 1.0 / (gradient.norm().item() + 1e-6))
        self.mean.lerp_(gradient, 1 - b1)
        self.square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        deviation = self.square.div(1 - b2**steps).sqrt_().add_(1e-8)
        self.weights.addcdiv_(self.mean, deviation, value=-rate / (1 - b1**steps))
        decay = self.decay if self.trained else min(self.decay, (1 + steps) / (10 + steps))
        self.average.lerp_(self.weights, 1 - decay)


def bind(model, vector, gradient=None):
    """Make the model's parameters views of the vector, and their gradients of the other."""
    begin = 0
    for p in model.parameters():
        end = begin + p.numel()
        p.data = vector[begin:end].view_as(p)
        if gradient is not None:
            p.grad = gradient[begin:end].view_as(p)
        begin = end
    return model


class Run:
    """What the workers of a run share."""

    def __init__(self, args, data, unet, encoder, state, done):
        self.args, self.data, self.unet, self.encoder, self.state = args, data, unet, encoder, state
        self.begin = time.time() - 60 * done.get("minutes", 0)
        self.best, self.history = done.get("best"), done.get("history", [])
        self.path = pathlib.Path(args.out) / "checkpoint.pt"

    def progress(self):
        return (time.time() - self.begin) / 60 / self.args.minutes

    def rate(self):
        """A warm-up, then half a cosine to the end of the time."""
        cosine = 0.5 + 0.5 * math.cos(math.pi * min(self.progress(), 1))
        return self.args.rate * min(1, (self.state.steps + 1) / WARM_UP) * cosine

    def check(self, validation, lock):
        """Validate the average and write a checkpoint."""
        with lock:
            vectors = {name: getattr(self.state, name).clone() for name in State.VECTORS}
            counts = self.state.counts.tolist()
        losses = validation.losses(bind(Model(self.unet, self.encoder), vectors["average"]).eval())
        minutes = (time.time() - self.begin) / 60
        self.history.append({"minutes": minutes, "steps": counts[0], "pictures": counts[1], **losses})
        print(f"{minutes:6.1f} min  step {counts[0]}  {counts[1]} pictures", end="")
        for name, (weighted, *quarters) in losses.items():
            print(f"  {name} {weighted:.5f} ({' '.join(f'{q:.4f}' for q in quarters)})", end="")
        print(flush=True)
        if self.best is None or losses["familiar"][0] < self.best["loss"]:
            self.best = {"loss": losses["familiar"][0], "average": vectors["average"], "pictures": counts[1]}
        progress = {"counts": counts, "minutes": minutes, "best": self.best, "history": self.history}
        model = {"unet": self.unet, "encoder": self.encoder, "vocab": self.data.vocab, "meta": self.data.meta}
        temporary = self.path.with_suffix(".new")
        torch.save({**vectors, **progress, **model, "args": vars(self.args)}, temporary)
        os.replace(temporary, self.path)

    def work(self, rank, lock):
        """Train until the time is over. Rank 0 validates and saves besides."""
        args, state, device = self.args, self.state, self.args.device
        torch.set_num_threads(1)
        torch.manual_seed(args.seed + 1000 * state.steps + rank)
        kind = torch.bfloat16 if device == "cpu" and not args.float32 else torch.float32
        vector = state.weights.to(kind)
        gradient = torch.zeros_like(vector)
        model = bind(Model(self.unet, self.encoder).to(device, kind), vector, gradient)
        signal = diffusion.signal().to(device)
        validation = Validation(self.data) if rank == 0 else None
        saved = said = time.time()
        mean_loss, before = None, int(state.counts[1])
        if rank == 0:
            self.check(validation, lock)
        while self.progress() < 1:
            taken = state.steps
            x, ids, style = self.data.batch(args.batch)
            t = (torch.randperm(len(x), device=device) + torch.rand(len(x), device=device)) / len(x)
            t = (t * diffusion.TIMES).long().clamp(max=diffusion.TIMES - 1)
            noisy, velocity = diffusion.mix(signal[t], x, torch.randn_like(x))
            noisy = noisy.to(kind).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cuda", torch.bfloat16) if device == "cuda" else contextlib.nullcontext():
                out = model(noisy, t, ids, style)
            loss = ((out.float() - velocity).pow(2).mean((1, 2, 3)) * loss_weight(signal[t])).mean()
            gradient.zero_()
            loss.backward()
            full = gradient.float()
            with lock:
                if state.steps - taken < STALE:
                    state.step(full, self.rate(), len(x))
                vector.copy_(state.weights)
            mean_loss = loss.item() if mean_loss is None else 0.98 * mean_loss + 0.02 * loss.item()
            now = time.time()
            if rank == 0 and now - said > 60:
                (steps, pictures), minutes = state.counts.tolist(), (now - self.begin) / 60
                print(f"{minutes:6.1f} min  step {steps}  {pictures} pictures", end="  ")
                print(
                    f"{(pictures - before) / (now - said):.0f}/s  loss {mean_loss:.4f}  rate {self.rate():.1e}",
                    flush=True,
                )
                said, before = now, pictures
            if rank == 0 and now - saved > 60 * args.every:
                self.check(validation, lock)
                saved = time.time()
        if rank == 0:
            self.check(validation, lock)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="emoji.npz")
    parser.add_argument("--init", help="a model directory to begin with; else from nothing")
    parser.add_argument("--out", default="run")
    parser.add_argument("--minutes", type=float, default=60, help="the time budget, pauses included")
    parser.add_argument("--every", type=float, default=4, help="minutes between checkpoints")
    parser.add_argument("--batch", type=int, default=32, help="pictures a step")
    parser.add_argument("--rate", type=float, default=5e-4, help="learning rate, after the warm-up")
    parser.add_argument("--average", type=float, default=0.998, help="decay of the moving average of the weights")
    parser.add_argument("--other", type=float, default=0.0, help="share of pictures whose concept has no star")
    parser.add_argument("--recoloured", type=float, default=0.15, help="share of recoloured pictures")
    parser.add_argument("--channels", type=int, nargs="+", default=(32, 64, 128), help="the U-Net's, of a new model")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes, on a CPU")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--float32", action="store_true", help="on a CPU: no bfloat16, no C compiler")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    pathlib.Path(args.out).mkdir(parents=True, exist_ok=True)
    if args.device == "cpu":
        ops.keep_memory()
        if not args.float32:
            ops.use_kernels()
    torch.manual_seed(args.seed)
    start = directory.Directory(args.init) if args.init else None
    data = Data(args.data, start and start.vocab, args.other, args.recoloured, args.device)
    if start:
        unet, encoder, model = start.model.unet.config, start.model.text_encoder.config, start.model
    else:
        unet = unet_config(data.styles, data.images.shape[-1], args.channels)
        encoder = text_config(len(data.vocab), args.channels[-1])
        model = Model(unet, encoder)
    weights = torch.cat([p.detach().flatten() for p in model.parameters()]).to(args.device)
    state, done = State(weights, args.average, bool(start)), {}
    path = pathlib.Path(args.out) / "checkpoint.pt"
    if path.exists():
        done = torch.load(path, map_location="cpu")
        for name in State.VECTORS:
            getattr(state, name).copy_(done[name])
        state.counts.copy_(torch.tensor(done["counts"]))
    run = Run(args, data, unet, encoder, state, done)
    print(f"{len(weights) / 1e6:.2f} M parameters, {int((data.weights > 0).sum())} pictures", flush=True)

    if args.device == "cuda":
        run.work(0, contextlib.nullcontext())
        return
    state.share()
    processes = multiprocessing.get_context("fork")
    lock = processes.Lock()
    workers = [processes.Process(target=run.work, args=(rank, lock)) for rank in range(args.workers)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    raise SystemExit(max(abs(worker.exitcode) for worker in workers))


if __name__ == "__main__":
    main()
