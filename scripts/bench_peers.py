"""Interleaved rounds: in each, every engine runs the same picture in one order. What is
compared are medians; the ranges tell how noisy the machine was."""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np

from luma_model import luma_to_onnx, own_weights
from ncnn_model import stem, to_onnx

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
THREADS = len(os.sched_getaffinity(0))


def openvino_runner(onnx_path, picture, precision):
    import openvino as ov
    core = ov.Core()
    model = core.read_model(onnx_path)
    model.reshape([1, *picture.shape])
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS,
        "PERFORMANCE_HINT": "LATENCY"})
    request = compiled.create_infer_request()
    return lambda: request.infer([picture[None]])


def onnxruntime_runner(onnx_path, picture):
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = ort.InferenceSession(onnx_path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"data": picture[None]})


def ncnn_runner(model, picture, bf16):
    import ncnn
    net = ncnn.Net()
    net.opt.num_threads = THREADS
    net.opt.use_vulkan_compute = False
    net.opt.use_bf16_storage = bf16
    net.load_param(stem(root, model) + ".param")
    net.load_model(stem(root, model) + ".bin")
    picture = np.ascontiguousarray(np.broadcast_to(picture, (3, *picture.shape[1:])))

    def run():
        extractor = net.create_extractor()
        extractor.input("data", ncnn.Mat(picture))
        extractor.extract("output")
    return run


def torch_runner(onnx_path, picture, bf16):
    import torch
    from onnx2torch import convert
    network = convert(onnx_path).eval().to(memory_format=torch.channels_last)
    x = torch.from_numpy(picture[None]).contiguous(memory_format=torch.channels_last)
    if bf16:
        network, x = network.bfloat16(), x.bfloat16()
    torch.set_num_threads(THREADS)

    def run():
        with torch.inference_mode():
            network(x)
    return run


def kizuna_run(model, size, luma, precision, level, frames):
    out = subprocess.run([os.path.join(root, "build", "release", "kizuna"), "bench", "-m", model, "--size", size,
                          "--frames", str(frames), "--precision", precision, "--cpu-level", level, "-i", luma, "--json"], check=True,
                         stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "KIZUNA_DATA_DIR": root}).stdout
    return json.loads(out)


def clocked(run):
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def make_peers(model, onnx_path, picture, wanted):
    makers = {"OpenVINO bf16": lambda: openvino_runner(onnx_path, picture, "bf16"),
              "OpenVINO fp32": lambda: openvino_runner(onnx_path, picture, "f32"),
              "onnxruntime fp32": lambda: onnxruntime_runner(onnx_path, picture),
              "ncnn fp32": lambda: ncnn_runner(model, picture, False),
              "ncnn bf16 storage": lambda: ncnn_runner(model, picture, True),
              "torch bf16": lambda: torch_runner(onnx_path, picture, True),
              "torch fp32": lambda: torch_runner(onnx_path, picture, False)}
    peers = {}
    for name, make in makers.items():
        if wanted not in name:
            continue
        try:
            peers[name] = make()
            peers[name]()  # a first run, which doesn't count
        except Exception as error:  # an engine that isn't there is left out, by name
            peers.pop(name, None)
            print(f"({name} is left out: {str(error).splitlines()[0][:80]})", flush=True)
    return peers


def network(model):
    """As ONNX, and whether it takes luma alone."""
    own = own_weights(root, model)
    if own:
        return luma_to_onnx(own), True
    folded = model.endswith(".param")
    return to_onnx(stem(root, model) + ".param", stem(root, model) + ".bin", folded), folded


def measure(model, size, rounds, frames, wanted, level, work):
    width, height = map(int, size.split("x"))
    picture = np.random.default_rng(1).random((height, width), np.float32) * 0.2
    picture += (np.add.outer(np.arange(height) // 16, np.arange(width) // 24) % 2) * 0.6
    luma, onnx_path = os.path.join(work, "luma.f32"), os.path.join(work, "network.onnx")
    picture.astype(np.float32).tofile(luma)
    import onnx
    graph, folded = network(model)
    onnx.save(graph, onnx_path)
    planes = np.ascontiguousarray(np.stack([picture] * (1 if folded else 3))).astype(np.float32)
    peers, times = make_peers(model, onnx_path, planes, wanted), {}
    for _ in range(rounds):
        for precision in ("bf16", "fp32"):
            try:
                got = kizuna_run(model, size, luma, precision, level, frames)
            except subprocess.CalledProcessError:
                continue  # no bf16 on this CPU
            times.setdefault("kizuna " + precision, []).append(got["seconds_per_frame"])
        for name, run in peers.items():
            times.setdefault(name, []).append(statistics.median(clocked(run) for _ in range(frames)))
    return times


def report(model, size, times):
    medians = {name: statistics.median(t) for name, t in times.items()}
    peers = {name: m for name, m in medians.items() if not name.startswith("kizuna")}
    best = min(peers, key=peers.get)
    print(f"\n{model}, {size}, {THREADS} threads, best peer: {best}\n")
    print("| engine | s/frame, median | range | speed to the best peer | range, round by round |")
    print("|---|---|---|---|---|")
    for name, t in times.items():
        ratios = [b / a for a, b in zip(t, times[best])]
        print(f"| {name} | {medians[name]:.5f} | {min(t):.5f}–{max(t):.5f} | "
              f"{medians[best] / medians[name]:.2f} | {min(ratios):.2f}–{max(ratios):.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", action="append", help="one of models/, or a NAME.param, of which the peers "
                        "run what is left when it is folded to luma; ncnn has none of kizuna's own")
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=1, help="runs of an engine in a round, of which the "
                        "median counts: more than one for networks of a few milliseconds")
    parser.add_argument("--only", default="", help="engines whose name has this, to save memory: all of "
                        "them take over 24 GiB with anime-6b")
    parser.add_argument("--cpu-level", default="auto", help="kizuna uses no instructions beyond this level; "
                        "oneDNN, where a peer lets it be told, neither")
    arguments = parser.parse_args()
    if arguments.cpu_level in ("avx2", "avx512", "avx512_bf16"):
        os.environ["ONEDNN_MAX_CPU_ISA"] = {"avx2": "AVX2", "avx512": "AVX512_CORE",
                                            "avx512_bf16": "AVX512_CORE_BF16"}[arguments.cpu_level]
    with tempfile.TemporaryDirectory() as work:
        for model in arguments.model or ["animevideov3", "anime-6b"]:
            report(model, arguments.size, measure(model, arguments.size, arguments.rounds, arguments.frames,
                                                  arguments.only, arguments.cpu_level, work))


if __name__ == "__main__":
    main()
