"""How long each network takes for a frame of 854x480: ours in the program, the others in what they are used in
or is faster: stacks of convolutions, folded to luma, in OpenVINO with bf16; ncnn; their own program.

    python3 speed.py ../build/train/peers waifu2x acnet-hdn0 artcnn_C4F16.onnx kizuna-s …

All processors; interleaved rounds, in each of which a network runs a few times. Medians, with their range.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile

import numpy as np

import judged

sys.path.insert(0, str(judged.ROOT / "scripts"))
from bench_peers import THREADS, clocked, kizuna_run, openvino_runner  # noqa: E402
from ncnn_model import to_onnx  # noqa: E402

WIDTH, HEIGHT, FRAMES = 854, 480, 3


def picture():
    """Blocks and noise, as in scripts/bench_peers.py."""
    noise = np.random.default_rng(1).random((HEIGHT, WIDTH), np.float32) * 0.2
    blocks = np.add.outer(np.arange(HEIGHT) // 16, np.arange(WIDTH) // 24) % 2
    return noise + 0.6 * blocks.astype(np.float32)


def timed(run):
    run()  # doesn't count
    return lambda: [1000 * clocked(run) for _ in range(FRAMES)]


def runner(name, peers, work):
    """(engine, a function that gives milliseconds)"""
    luma = picture()
    if name.endswith(".onnx"):
        return "OpenVINO bf16", timed(openvino_runner(name, luma[None], "bf16"))
    if name in judged.REALESRGAN:
        import onnx
        stem, file = str(judged.REALESRGAN[name]), str(work / f"{name}.onnx")
        onnx.save(to_onnx(stem + ".param", stem + ".bin", True), file)
        return "OpenVINO bf16", timed(openvino_runner(file, luma[None], "bf16"))
    if name.startswith("kizuna"):
        luma.tofile(work / "luma")

        def run():
            got = kizuna_run(name, f"{WIDTH}x{HEIGHT}", str(work / "luma"), "auto", "auto", FRAMES)
            return [1000 * got["seconds_per_frame"]]
        return "kizuna", run
    network = judged.named(name, peers, THREADS)
    return "ncnn fp32" if name.startswith(("waifu2x", "realcugan")) else "its own", timed(lambda: network(luma))


def main():
    parser = argparse.ArgumentParser(description="Time networks.")
    parser.add_argument("peers", type=pathlib.Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runners = {name: runner(name, args.peers, pathlib.Path(folder)) for name in args.networks}
        times = {name: [] for name in runners}
        for _ in range(args.rounds):
            for name, (_, run) in runners.items():
                times[name] += run()
    print(f"{WIDTH}x{HEIGHT}, {THREADS} threads\n\n| network | engine | ms/frame, median | range |\n|---|---|---|---|")
    for name, t in times.items():
        print(f"| {pathlib.Path(name).stem} | {runners[name][0]} | {statistics.median(t):.0f} | "
              f"{min(t):.0f}–{max(t):.0f} |")


if __name__ == "__main__":
    main()
