"""int8 simulated: values and weights are rounded to what int8 holds, sums stay exact. One luma channel
in and out; the first and the last convolution and all residuals stay in fp32. Each value has its scale,
from the largest magnitudes on the pictures it is calibrated with; others are measured."""
import argparse
import os
import subprocess

import numpy as np
import torch
from torch.nn import functional as F

from ncnn_model import FILES, Weights, read_layers

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LUMA = torch.tensor([0.2126, 0.7152, 0.0722])
MOST = 127
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

    def run(self, luma, convolve=lambda conv, x: F.conv2d(x, conv.weights, conv.bias, padding=1)):
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
                values[out] = sum(c * v for c, v in zip(keys.get(1, [1, 1]) if kind == "Eltwise" else [1, 1], x))
        return values[out]


def round_weights(weights, columns=None):
    """Rows in steps of their own, to nearest; given the inputs' columns, each rounding's error is made
    up for by the weights still to be rounded (GPTQ, Frantar et al. 2022)."""
    step = weights.abs().amax(1, keepdim=True) / MOST
    if columns is None:
        return (weights / step).round() * step
    gram = (columns.T @ columns).double()
    gram += torch.eye(len(gram)) * gram.diagonal().mean() * 0.01
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(gram)), upper=True).float()
    rest = weights.clone()
    for i in range(rest.shape[1]):
        exact = rest[:, i].clone()
        rest[:, i] = (exact / step[:, 0]).round().clamp(-MOST, MOST) * step[:, 0]
        rest[:, i + 1:] -= torch.outer((exact - rest[:, i]) / factor[i, i], factor[i, i + 1:])
    return rest


def to_int8(x, step):
    return (x / step).round().clamp(-MOST, MOST)


def quantise(network, pictures, per_channel, compensate):
    """A function for run(): scales from the pictures, `per_channel` with those folded into the weights."""
    sizes, means, made = {}, {}, {}

    def observe(conv, x):
        sizes[conv] = x.abs().amax((0, 2, 3))
        y = F.conv2d(x, conv.weights, conv.bias, padding=1)
        means[conv] = y.mean((0, 2, 3))
        return y

    def make(conv, x):
        size = sizes[conv] if per_channel else parts_maxima(sizes[conv])
        step = (size.clamp(min=0.02 * size.max().item()) / MOST).view(1, -1, 1, 1)
        x, columns = to_int8(x, step), None
        if compensate:
            columns = F.unfold(x, 3, padding=1).transpose(1, 2).flatten(0, 1)
            columns = columns[torch.randperm(len(columns))[:COLUMNS]]
        weights = round_weights((conv.weights * step).flatten(1), columns).view_as(conv.weights)
        bias = conv.bias
        if compensate:
            bias = bias + means[conv] - F.conv2d(x, weights, bias, padding=1).mean((0, 2, 3))
        return step, weights, bias

    def convolve(conv, x):
        if conv not in made:
            made[conv] = make(conv, x)
        step, weights, bias = made[conv]
        return F.conv2d(to_int8(x, step), weights, bias, padding=1)

    network.run(pictures, observe)
    network.run(pictures, convolve)
    return convolve


def parts_maxima(sizes):
    """A scale for each value of a concatenation: 64 channels, then 32 each."""
    parts = [sizes[:64], *sizes[64:].split(32)] if len(sizes) > 64 else [sizes]
    return torch.cat([p.max().expand(len(p)) for p in parts])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=FILES)
    parser.add_argument("--size", default="80x48")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    network = Network(options.model)
    films = [film(width, height, *cut) for cut in CALIBRATION]
    drawings = [line_art(width, height, seed) for seed in (1, 4, 5)]
    held_out = [film(width, height, *cut) for cut in HELD_OUT] + [line_art(width, height, seed) for seed in (2, 3, 6)]
    exact = [network.run(p) for p in held_out]
    for what, pictures, per_channel, compensate in (
            ("a scale a value, film alone", films, False, False),
            ("a scale a value", films + drawings, False, False),
            ("a scale a channel", films + drawings, True, False),
            ("a scale a channel, GPTQ, bias", films + drawings, True, True)):
        convolve = quantise(network, torch.cat(pictures), per_channel, compensate)
        figures = [psnr(network.run(p, convolve), e) for p, e in zip(held_out, exact)]
        print(f"{options.model}, {what}: " + " ".join(f"{f:.1f}" for f in figures), flush=True)


main()
