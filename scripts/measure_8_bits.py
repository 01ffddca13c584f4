"""int8 or fp8 (e4m3) simulated: values and weights are rounded to what 8 bits hold, sums stay exact. One
luma channel in and out; the first and the last convolution stay in fp32, and all residuals but where it says
otherwise. Each value has its scale, from the largest magnitudes on the pictures it is calibrated with; others
are measured."""
import argparse
import os
import subprocess

import numpy as np
import torch
from torch.nn import functional as F

from ncnn_model import FILES, Weights, read_layers

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LUMA = torch.tensor([0.2126, 0.7152, 0.0722])
COLUMNS = 4000  # pixels that a Gram matrix is made of
# Seconds, scale and corner of cuts of the clip.
CALIBRATION = [(0.2, 1, 500, 300), (1.2, 1, 200, 100), (0.2, 0.5, 280, 140)]
HELD_OUT = [(0.8, 1, 700, 200), (1.7, 1, 100, 400), (1.0, 0.5, 300, 150)]


def film(width, height, second, scale, x, y):
    clip = os.path.join(root, "media", "bigbuckbunny.mp4")
    cut = f"scale=iw*{scale}:-2,crop={width}:{height}:{x}:{y}:exact=1,format=gray,format=grayf32le"
    grey = subprocess.run(["ffmpeg", "-v", "error", "-ss", str(second), "-i", clip, "-frames:v", "1", "-vf", cut,
                           "-f", "rawvideo", "-"], check=True, stdout=subprocess.PIPE,
                          stdin=subprocess.DEVNULL).stdout
    return torch.frombuffer(bytearray(grey), dtype=torch.float32).view(1, 1, height, width)


def line_art(width, height, seed):
    """Flat shapes and waves with dark outlines, a pixel's blur at every edge."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    image = np.full((height, width), rng.uniform(0.3, 0.9))
    for shape in range(24):
        angle, a, b = rng.uniform(0, np.pi), *rng.uniform(3, 36, 2)
        cx, cy = x - rng.uniform(0, width), y - rng.uniform(0, height)
        u, v = cx * np.cos(angle) + cy * np.sin(angle), cy * np.cos(angle) - cx * np.sin(angle)
        outside = ((np.hypot(u / a, v / b) - 1) * min(a, b), np.maximum(abs(u) - a, abs(v) - b),
                   np.maximum(abs(v - b / 4 * np.sin(u * 6 / a)), abs(u) - a))[shape % 3]
        image += (rng.uniform(0.1, 1) - image) * (0.5 - outside).clip(0, 1)
        image += (rng.uniform(0, 0.2) - image) * (rng.uniform(0.9, 1.7) - abs(outside)).clip(0, 1)
    return torch.from_numpy(image.astype(np.float32))[None, None]


# Of each kind of 8 bits the largest number, and rounding to what it holds.
INT8 = 127, lambda x: x.round().clamp(-127, 127)
FP8 = 448, lambda x: x.clamp(-448, 448).to(torch.float8_e4m3fn).float()


def psnr(a, b):
    return -10 * torch.log10((a - b).square().mean()).item()


class Conv:
    def __init__(self, weights, bias, slopes):
        self.weights, self.bias, self.slopes = weights, bias, slopes


class Network:
    def __init__(self, model):
        stem = os.path.join(root, "models", "weights", FILES[model])
        weights, self.steps, self.convs, names = Weights(stem + ".bin"), [], [], {}
        for kind, _, inputs, outputs, keys in read_layers(stem + ".param"):
            ins = [names.get(i, i) for i in inputs]
            if kind == "Split":
                names.update({o: ins[0] for o in outputs})
                continue
            if kind == "PReLU":
                self.convs[-1].slopes = torch.from_numpy(weights.floats(int(keys[0]))).view(-1, 1, 1)
                names[outputs[0]] = ins[0]
                continue
            conv = None
            if kind == "Convolution":
                o, k = int(keys[0]), int(keys[1])
                conv = Conv(torch.from_numpy(weights.tagged(int(keys[6])).reshape(o, -1, k, k)),
                            torch.from_numpy(weights.floats(o)), keys[10][0] if keys.get(9) == 2 else None)
                self.convs.append(conv)
            self.steps.append((kind, ins, outputs[0], keys, conv))
        self.fold()

    def fold(self):
        first, last = self.convs[0], self.convs[-1]
        first.weights = first.weights.sum(1, keepdim=True)
        phases = last.bias.numel() // 3
        last.weights = torch.einsum("c,cp...->p...", LUMA, last.weights.view(3, phases, *last.weights.shape[1:]))
        last.bias = LUMA @ last.bias.view(3, phases)
        self.convs = self.convs[1:-1]

    def run(self, luma, convolve=lambda conv, x: F.conv2d(x, conv.weights, conv.bias, padding=1), store=lambda x: x):
        """Sums go through store()."""
        values = {"data": luma}
        for kind, ins, out, keys, conv in self.steps:
            x = [values[i] for i in ins]
            if kind == "Convolution":
                inner = conv in self.convs
                y = convolve(conv, x[0]) if inner else F.conv2d(x[0], conv.weights, conv.bias, padding=1)
                values[out] = y if conv.slopes is None else torch.where(y < 0, y * conv.slopes, y)
            elif kind == "Concat":
                values[out] = torch.cat(x, 1)
            elif kind == "Interp":
                values[out] = F.interpolate(x[0], scale_factor=keys[1], mode="nearest")
            elif kind == "PixelShuffle":
                values[out] = F.pixel_shuffle(x[0], int(keys[0]))
            elif kind in ("Eltwise", "BinaryOp"):
                values[out] = store(sum(c * v for c, v in zip(keys.get(1, [1, 1]) if kind == "Eltwise" else [1, 1], x)))
        return values[out]


def round_weights(weights, bits, columns=None):
    """Rows in steps of their own, to nearest; given the inputs' columns, each rounding's error is made
    up for by the weights still to be rounded (GPTQ, Frantar et al. 2022)."""
    most, to_bits = bits
    step = weights.abs().amax(1, keepdim=True) / most
    if columns is None:
        return to_bits(weights / step) * step
    gram = (columns.T @ columns).double()
    gram += torch.eye(len(gram)) * gram.diagonal().mean() * 0.01
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(gram)), upper=True).float()
    rest = weights.clone()
    for i in range(rest.shape[1]):
        exact = rest[:, i].clone()
        rest[:, i] = to_bits(exact / step[:, 0]) * step[:, 0]
        rest[:, i + 1:] -= torch.outer((exact - rest[:, i]) / factor[i, i], factor[i, i + 1:])
    return rest


def quantise(network, pictures, bits, per_channel=False, compensate=False, weights=True, values=True,
             chosen=lambda i, conv: True):
    """A function for run(): scales from the pictures, `per_channel` with those folded into the weights. `weights`
    and `values`: what is rounded, in which layers."""
    sizes, means, made = {}, {}, {}
    to_bits = bits[1]
    layers = {conv for i, conv in enumerate(network.convs) if chosen(i, conv)}
    round_value = to_bits if values else lambda x: x

    def observe(conv, x):
        sizes[conv] = x.abs().amax((0, 2, 3))
        y = F.conv2d(x, conv.weights, conv.bias, padding=1)
        means[conv] = y.mean((0, 2, 3))
        return y

    def make(conv, x):
        size = sizes[conv] if per_channel else parts_maxima(sizes[conv])
        step = step_of(size.clamp(min=0.02 * size.max().item()), bits).view(1, -1, 1, 1)
        x, columns, folded = round_value(x / step), None, conv.weights * step
        if compensate:
            columns = F.unfold(x, 3, padding=1).transpose(1, 2).flatten(0, 1)
            columns = columns[torch.randperm(len(columns))[:COLUMNS]]
        if weights:
            folded = round_weights(folded.flatten(1), bits, columns).view_as(folded)
        bias = conv.bias
        if compensate:
            bias = bias + means[conv] - F.conv2d(x, folded, bias, padding=1).mean((0, 2, 3))
        return step, folded, bias

    def convolve(conv, x):
        if conv not in layers:
            return F.conv2d(x, conv.weights, conv.bias, padding=1)
        if conv not in made:
            made[conv] = make(conv, x)
        step, folded, bias = made[conv]
        return F.conv2d(round_value(x / step), folded, bias, padding=1)

    network.run(pictures, observe)
    network.run(pictures, convolve)
    return convolve


def step_of(size, bits):
    """Powers of two for floating point, so that what is rounded already stays what it is."""
    step = size / bits[0]
    return step if bits is INT8 else step.log2().ceil().exp2()


def stored(bits):
    """In 8 bits, with the scale of the value itself."""
    def store(x):
        step = step_of(x.abs().max(), bits)
        return bits[1](x / step) * step
    return store


def parts_maxima(sizes):
    """A scale for each value of a concatenation: 64 channels, then 32 each."""
    parts = [sizes[:64], *sizes[64:].split(32)] if len(sizes) > 64 else [sizes]
    return torch.cat([p.max().expand(len(p)) for p in parts])


def ways_of(network, bits, films, pictures):
    """What is measured: its name, what quantise() gets, and whether residuals have 8 bits, too."""
    ways = [("a scale a value, film alone", dict(pictures=films), False)] if bits is INT8 else []
    ways += [("a scale a value", dict(pictures=pictures), False),
             ("a scale a channel", dict(pictures=pictures, per_channel=True), False),
             ("a scale a channel, GPTQ, bias", dict(pictures=pictures, per_channel=True, compensate=True), False)]
    if bits is INT8:
        return ways
    ways += [("weights alone", dict(pictures=pictures, values=False), False),
             ("values alone", dict(pictures=pictures, weights=False), False),
             ("every second layer", dict(pictures=pictures, chosen=lambda i, _: i % 2 == 1), False),
             ("one layer", dict(pictures=pictures, chosen=lambda i, _: i == 3), False)]
    if any(is_dense(i, conv) for i, conv in enumerate(network.convs)):
        ways += [("dense blocks alone", dict(pictures=pictures, chosen=is_dense), False),
                 ("residuals too", dict(pictures=pictures), True)]
    return ways


def is_dense(_, conv):
    return conv.weights.shape[0] != conv.weights.shape[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=FILES)
    parser.add_argument("--fp8", action="store_true")
    parser.add_argument("--size", default="80x48")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    bits = FP8 if options.fp8 else INT8
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    network = Network(options.model)
    films = [film(width, height, *cut) for cut in CALIBRATION]
    drawings = [line_art(width, height, seed) for seed in (1, 4, 5)]
    held_out = [film(width, height, *cut) for cut in HELD_OUT] + [line_art(width, height, seed) for seed in (2, 3, 6)]
    exact = [network.run(p) for p in held_out]
    for what, how, narrow in ways_of(network, bits, torch.cat(films), torch.cat(films + drawings)):
        convolve = quantise(network, bits=bits, **how)
        made = [network.run(p, convolve, *([stored(bits)] if narrow else [])) for p in held_out]
        print(f"{options.model}, {what}: " + " ".join(f"{psnr(m, e):.1f}" for m, e in zip(made, exact)), flush=True)


main()
