"""Writes a checkpoint's averaged weights as what the program runs: plain convolutions, safetensors.

    python3 export.py checkpoints/kizuna-s.pt ../models/kizuna-s.safetensors

Weights are rounded to fp16. Tensors: layers.I.weight [O,I,3,3], layers.I.bias [O], layers.I.slope [O]
(of the leaky ReLU behind it; the last layer has none).
"""

import pathlib
import sys

import numpy as np
import torch

import weights
from net import SCALE, SLOPE, Net


def tensors(convolutions):
    for i, (weight, bias) in enumerate(convolutions):
        yield f"layers.{i}.weight", weight.numpy()
        yield f"layers.{i}.bias", bias.numpy()
        if i + 1 < len(convolutions):
            yield f"layers.{i}.slope", np.full(len(bias), SLOPE, np.float32)


def averaged(checkpoint):
    state = torch.load(checkpoint, weights_only=True)
    net = Net(state["name"])
    net.load_state_dict(state["mean"])
    return state["name"], net


def main():
    checkpoint, target = map(pathlib.Path, sys.argv[1:])
    name, net = averaged(checkpoint)
    metadata = {"architecture": "kizuna", "name": name, "version": "1", "scale": str(SCALE), "skip": "1"}
    target.write_bytes(weights.safetensors(tensors(net.convolutions()), metadata))


if __name__ == "__main__":
    main()
