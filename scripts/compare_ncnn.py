"""Luma of ncnn's unclamped output for (Y, Y, Y) against kizuna's folded network, for three networks
and real frames. Bounds: fp32 within 1e-4 of full range, bf16 at least 55 dB."""
import os
import subprocess
import sys
import tempfile

import ncnn
import numpy as np

from ncnn_model import FILES

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
kizuna = sys.argv[1]
# Crops of real frames: width, height, seconds, x, y. The largest network gets the small ones.
CROPS = [(192, 128, 0.4, 500, 300), (97, 61, 3.0, 700, 200)]
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def read_luma(width, height, second, x, y, path):
    clip = os.path.join(root, "media", "bigbuckbunny.mp4")
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-ss", str(second), "-i", clip, "-frames:v", "1", "-vf",
                    f"crop={width}:{height}:{x}:{y}:exact=1,format=gray,format=grayf32le", "-f", "rawvideo",
                    path], check=True, stdin=subprocess.DEVNULL)
    return np.fromfile(path, np.float32).reshape(height, width)


def run_ncnn(net, luma):
    # A Mat made from an array borrows its memory: the array must outlive it.
    picture = np.ascontiguousarray(np.stack([luma] * 3))
    extractor = net.create_extractor()
    extractor.input("data", ncnn.Mat(picture).clone())
    output = extractor.extract("output")[1]
    rgb = np.stack([np.array(output.channel(c)) for c in range(3)])
    return np.tensordot(LUMA, rgb, 1)


def load_ncnn(model):
    net = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
                   "use_vulkan_compute", "use_int8_inference"):
        setattr(net.opt, option, False)
    stem = os.path.join(root, "models", "weights", FILES[model])
    assert net.load_param(stem + ".param") == 0 and net.load_model(stem + ".bin") == 0
    return net


def run_kizuna(model, luma_path, shape, precision, work):
    out = os.path.join(work, "out.f32")
    done = subprocess.run([kizuna, "bench", "-m", model, "--size", f"{shape[1]}x{shape[0]}", "--frames", "1",
                           "--precision", precision, "-i", luma_path, "--dump", out, "-t", "4096"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "KIZUNA_DATA_DIR": root})
    if done.returncode:
        return done.stderr.strip()
    return np.fromfile(out, np.float32).reshape(shape[0] * 4, shape[1] * 4)


def main():
    number, failed = 0, 0
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "luma.f32")
        for model in FILES:
            net = load_ncnn(model)
            for crop in CROPS[1:] if model == "x4plus" else CROPS:
                luma = read_luma(*crop, path)
                expected = run_ncnn(net, luma)
                for precision in ("fp32", "bf16"):
                    number += 1
                    got = run_kizuna(model, path, luma.shape, precision, work)
                    name = f"{model} {crop[0]}x{crop[1]} {precision}"
                    if isinstance(got, str):
                        if "no bf16" in got:
                            print(f"ok {number} - {name} # SKIP this CPU has no bf16", flush=True)
                            continue
                        print(f"# {got}\nnot ok {number} - {name}", flush=True)
                        failed += 1
                        continue
                    worst = float(np.abs(got - expected).max())
                    psnr = -10 * np.log10(float(np.square(got - expected).mean()) + 1e-30)
                    good = worst <= 1e-4 if precision == "fp32" else psnr >= 55
                    print(f"{'ok' if good else 'not ok'} {number} - {name}: worst {worst:.2e}, "
                          f"{psnr:.1f} dB", flush=True)
                    failed += not good
    print(f"1..{number}")
    sys.exit(failed > 0)


main()
