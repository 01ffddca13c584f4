"""Trains one network; goes on from its checkpoint wherever it was left.

    python3 train.py kizuna-s --data ../build/train/data --steps 40000 --minutes 20

A step takes square cuts of the frames where there is something to see, turned and mirrored at random.
The loss is Charbonnier's; Adam, a learning rate that falls as a cosine over all steps, and an average
of the weights (EMA), which is what is exported. Hidden kernels of the large network are Muon's (Jordan
et al., "Muon: an optimizer for hidden layers in neural networks", 2024), with the same rate. What a step
sees follows from the seed and the step's number alone, so a run that was stopped and went on has seen
the same as one that was not. Convolutions are computed in bf16 where that is faster; weights, sums and
the last tenth of the steps are fp32.
"""

import argparse
import copy
import json
import math
import pathlib
import time

import numpy as np
import torch

import degrade
import weights
from make_data import LOSSY, shapes
from net import SHAPES, SMALL, Net

CUT = 64    # pixels of a source
REACH = 4   # of a source's, at least as many as filters see beyond a cut
BATCH = 16
RATE = 2e-3
EMA = 0.999
KEPT_EVERY = 500  # steps between checkpoints


class Pairs:
    """Cuts of the training data, or of the validation's, by step."""

    def __init__(self, folder, kind, any_filter=False):
        """With `any_filter` a clean source is made of the frame by any of the filters, each time anew: a large
        network learns more from that than from the one that is kept."""
        made = json.loads((folder / "data.json").read_text())
        self.frames, self.kind, self.any_filter = made["frames"], kind, any_filter
        target, clean, lossy = shapes(made["scenes"])
        self.target = np.memmap(folder / "target.u8", np.uint8, "r", shape=target)
        self.source = np.memmap(folder / f"{kind}.u8", np.uint8, "r",
                                shape=clean if kind == "clean" else lossy)

    def pick(self, rng):
        """A frame, one of its sources, and where to cut: of two places the one with more edges."""
        frame = rng.integers(self.frames)
        source = self.source[frame]
        if self.kind == "lossy":
            source = source[rng.integers(LOSSY)]
        places = [(rng.integers(degrade.HEIGHT - CUT), rng.integers(degrade.WIDTH - CUT))
                  for _ in range(2)]
        return frame, source, max(places, key=lambda p: edges(source, *p))

    def batch(self, step):
        rng = np.random.default_rng([step, 1])
        inputs = np.empty((BATCH, 1, CUT, CUT), np.float32)
        targets = np.empty((BATCH, 1, 2 * CUT, 2 * CUT), np.float32)
        for i in range(BATCH):
            frame, source, (y, x) = self.pick(rng)
            whole = self.target[frame, 2 * y:2 * (y + CUT), 2 * x:2 * (x + CUT)] / np.float32(255)
            cut = self.reduced(rng, frame, y, x) if self.any_filter else source[y:y + CUT, x:x + CUT]
            inputs[i, 0], targets[i, 0] = turned(rng, degrade.values(cut), whole)
        return torch.from_numpy(inputs), torch.from_numpy(targets)

    def reduced(self, rng, frame, y, x):
        """A cut of the frame's master by any of the filters."""
        top, left = max(0, y - REACH), max(0, x - REACH)
        wide = self.target[frame, 2 * top:2 * (y + CUT + REACH), 2 * left:2 * (x + CUT + REACH)] / np.float32(255)
        small = degrade.codes(degrade.master(wide, rng.choice(sorted(degrade.FILTERS))))
        return small[y - top:y - top + CUT, x - left:x - left + CUT]


def edges(source, y, x):
    cut = source[y:y + CUT:2, x:x + CUT:2].astype(np.int16)
    return np.abs(np.diff(cut, axis=0)).sum() + np.abs(np.diff(cut, axis=1)).sum()


def turned(rng, *pictures):
    turns, mirror, negative = rng.integers(4), rng.integers(2), rng.integers(8) == 0
    for picture in pictures:
        picture = np.rot90(picture, turns)
        picture = picture[:, ::-1] if mirror else picture
        yield 1 - picture if negative else picture


def charbonnier(made, target):
    return torch.sqrt((made.float() - target) ** 2 + 1e-6).mean()


def optimisers(net):
    hidden = net.hidden_matrices()
    rest = [p for p in net.parameters() if all(p is not matrix for matrix in hidden)]
    made = [torch.optim.Adam(rest, RATE, betas=(0.9, 0.99))]
    if hidden:
        made.insert(0, torch.optim.Muon(hidden, RATE, weight_decay=0, adjust_lr_fn="match_rms_adamw"))
    return made


class Training:
    def __init__(self, name, steps):
        torch.manual_seed(1)
        self.name, self.steps, self.step = name, steps, 0
        self.net = Net(name).to(memory_format=torch.channels_last)
        self.mean = copy.deepcopy(self.net)
        self.optimisers = optimisers(self.net)

    def rate(self):
        warm = min(1.0, (self.step + 1) / 500)
        return RATE * warm * max(0.005, 0.5 + 0.5 * math.cos(math.pi * self.step / self.steps))

    def advance(self, pairs):
        inputs, targets = pairs.batch(self.step)
        for optimiser in self.optimisers:
            optimiser.param_groups[0]["lr"] = self.rate()
            optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.step < 0.9 * self.steps):
            made = self.net(inputs.contiguous(memory_format=torch.channels_last))
        loss = charbonnier(made, targets)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        for optimiser in self.optimisers:
            optimiser.step()
        keep = min(EMA, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, now in zip(self.mean.parameters(), self.net.parameters()):
                mean.lerp_(now, 1 - keep)
        self.step += 1
        return loss.item()

    def save(self, file):
        state = {"name": self.name, "steps": self.steps, "step": self.step,
                 "net": self.net.state_dict(), "mean": self.mean.state_dict(),
                 "optimisers": [o.state_dict() for o in self.optimisers]}
        partial = file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(file)

    def load(self, file):
        state = torch.load(file, weights_only=True)
        if state["name"] != self.name:
            raise SystemExit(f"{file} is of {state['name']}, not of {self.name}")
        self.step = state["step"]
        self.net.load_state_dict(state["net"])
        self.mean.load_state_dict(state["mean"])
        for optimiser, there in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(there)

    def begin_with(self, file):
        """What another network computes, at step 0: net.py, expand()."""
        self.net.expand(weights.convolutions(file))
        self.mean.load_state_dict(self.net.state_dict())


@torch.no_grad()
def psnr(net, pairs):
    """Mean over the validation's frames, dB."""
    total = 0
    for frame in range(pairs.frames):
        source = pairs.source[frame] if pairs.kind == "clean" else pairs.source[frame, 0]
        made = net(torch.from_numpy(degrade.values(source))[None, None])[0, 0].clamp(0, 1).numpy()
        error = np.mean((made - pairs.target[frame] / np.float32(255)) ** 2)
        total += -10 * math.log10(error)
    return total / pairs.frames


def arguments():
    parser = argparse.ArgumentParser(description="Train a network.")
    parser.add_argument("name", help="kizuna-s, kizuna-m, kizuna-l, or one of them with -clean")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--steps", type=int, default=40000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop then, to go on later")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--from", dest="other", type=pathlib.Path, metavar="SAFETENSORS",
                        help="begin as another network, at most as large, which was exported")
    parser.add_argument("--checkpoint", type=pathlib.Path, help="default: checkpoints/NAME.pt")
    return parser.parse_args()


def main():
    args = arguments()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    kind = "lossy" if args.name.endswith("-clean") else "clean"
    pairs = Pairs(args.data / "train", kind, any_filter=kind == "clean" and SHAPES[args.name][0] > SMALL)
    validation = Pairs(args.data / "validation", kind)
    file = args.checkpoint or pathlib.Path(__file__).parent / "checkpoints" / (args.name + ".pt")
    file.parent.mkdir(parents=True, exist_ok=True)
    training = Training(args.name, args.steps)
    if file.exists():
        training.load(file)
    elif args.other:
        training.begin_with(args.other)
    end, losses, began = time.monotonic() + 60 * args.minutes, [], time.monotonic()
    while training.step < args.steps and time.monotonic() < end:
        losses.append(training.advance(pairs))
        if training.step % KEPT_EVERY == 0:
            training.save(file)
            note(training, validation, losses, began)
            losses, began = [], time.monotonic()
    training.save(file)


def note(training, validation, losses, began):
    each = (time.monotonic() - began) / len(losses)
    line = f"{training.name} {training.step} loss {np.mean(losses):.5f} {1000 * each:.0f} ms/step"
    if training.step % (10 * KEPT_EVERY) == 0:
        line += f" validation {psnr(training.mean, validation):.3f} dB"
    print(line, flush=True)


if __name__ == "__main__":
    main()
