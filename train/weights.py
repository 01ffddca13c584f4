"""Weights as the program reads them, https://huggingface.co/docs/safetensors: a length, a header in JSON,
the values."""

import json
import pathlib
import struct
import sys

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "scripts"))
from luma_model import read_tensors  # noqa: E402


def safetensors(named, metadata):
    """The file of (name, array) pairs, fp16."""
    header, data = {"__metadata__": metadata}, b""
    for name, values in named:
        part = np.ascontiguousarray(values, np.float16).tobytes()
        header[name] = {"dtype": "F16", "shape": list(values.shape),
                        "data_offsets": [len(data), len(data) + len(part)]}
        data += part
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def read(path):
    """(tensors by name, metadata)."""
    arrays, metadata = read_tensors(path)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}, metadata


def convolutions(path):
    """(weight [O][I][3][3], bias [O]) of each layer of one of ours."""
    tensors, _ = read(path)
    layers = sum(name.endswith(".weight") for name in tensors)
    return [(tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]) for i in range(layers)]
