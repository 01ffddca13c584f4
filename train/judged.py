"""The networks that are compared, each as a function of luma: [h][w] to [2 h][2 w], fp32, black 0 and
white 1. Peers that want RGB get grey and are read as luma; that is what a program does which, as this
one, leaves colour to a plain scaler."""

import json
import struct

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F


def resized(filter):
    def run(x):
        return np.asarray(Image.fromarray(x).resize((2 * x.shape[1], 2 * x.shape[0]), filter))
    return run


def read_safetensors(path):
    """(tensors by name, metadata)."""
    data = open(path, "rb").read()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    metadata, tensors = header.pop("__metadata__"), {}
    for name, entry in header.items():
        kind = {"F16": np.float16, "F32": np.float32}[entry["dtype"]]
        begin, end = (8 + length + o for o in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], kind).astype(np.float32)
        tensors[name] = torch.from_numpy(values.reshape(entry["shape"]))
    return tensors, metadata


def own(path):
    """One of ours, as the program runs it: from its file."""
    tensors, metadata = read_safetensors(path)
    n = sum(name.endswith(".weight") for name in tensors)

    @torch.no_grad()
    def run(x):
        source = torch.from_numpy(np.ascontiguousarray(x))[None, None]
        y, first = source, None
        for i in range(n):
            if i == n - 1 and metadata["skip"] == "1":
                y = y + first
            y = F.conv2d(y, tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"], padding=1)
            if i < n - 1:
                y = F.prelu(y, tensors[f"layers.{i}.slope"])
            first = y if first is None else first
        return F.pixel_shuffle(y + source, 2)[0, 0].numpy()
    return run


def onnx(path):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": np.clip(x, 0, 1)[None, None]})[0][0, 0]


def ncnn(stem, inputs, outputs, border, scale=2, padding=0):
    """A network in ncnn's files with RGB in and out, which eats `border` pixels of its input."""
    import ncnn as engine
    net = engine.Net()
    net.opt.use_vulkan_compute = False
    net.opt.num_threads = 2
    net.load_param(stem + ".param")
    net.load_model(stem + ".bin")

    def run(x):
        height, width = x.shape
        more = [(border, border + -n % 4) for n in x.shape] if padding else [(border, border)] * 2
        wide = np.pad(np.clip(x, 0, 1), more, "edge")
        extractor = net.create_extractor()
        grey = np.ascontiguousarray(np.stack([wide] * 3))
        extractor.input(inputs, engine.Mat(grey).clone())
        made = np.array(extractor.extract(outputs)[1])
        grey = np.float32([0.2126, 0.7152, 0.0722]) @ made.reshape(3, -1)
        grey = grey.reshape(made.shape[1:])[:scale * height, :scale * width]
        return resized_by_area(grey, scale // 2) if scale > 2 else grey
    return run


def resized_by_area(x, n):
    return x.reshape(x.shape[0] // n, n, x.shape[1] // n, n).mean((1, 3), dtype=np.float32)


def acnet():
    from pyanime4k import pyac
    processor = pyac.core.Processor(processor_type="cpu", device=0, model="acnet-hdn0")

    def run(x):
        grey = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
        return processor(grey, 2.0).astype(np.float32) / 255
    return run


def named(name):
    """A network by what the command line calls it."""
    kind, _, rest = name.partition(":")
    if kind in ("bicubic", "lanczos"):
        return resized(Image.Resampling[kind.upper()])
    if kind == "waifu2x":
        return ncnn(rest, "Input1", "Eltwise4", 18, padding=4)
    if kind == "realcugan":
        return ncnn(rest, "in0", "out0", 18, padding=4)
    if kind == "realesrgan":
        return ncnn(rest, "data", "output", 0, scale=4)
    if kind == "acnet":
        return acnet()
    return onnx(name) if name.endswith(".onnx") else own(name)
