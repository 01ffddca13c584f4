"""Weights as the program reads them, https://huggingface.co/docs/safetensors: a length, a header in JSON,
the values."""

import json
import pathlib
import struct

import numpy as np
import torch


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
    data = pathlib.Path(path).read_bytes()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    metadata, tensors = header.pop("__metadata__"), {}
    for name, entry in header.items():
        kind = {"F16": np.float16, "F32": np.float32}[entry["dtype"]]
        begin, end = (8 + length + o for o in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], kind).astype(np.float32)
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]))
    return tensors, metadata


def convolutions(path):
    """(weight [O][I][3][3], bias [O]) of each layer of one of ours."""
    tensors, _ = read(path)
    layers = sum(name.endswith(".weight") for name in tensors)
    return [(tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]) for i in range(layers)]
