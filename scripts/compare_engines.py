"""Luma of two other engines' unclamped output for (Y, Y, Y), in fp32 and without tiles, against
kizuna's folded networks. How far the two are from each other tells how much of a difference is
theirs. Bounds: fp32 within 1e-4 of full range; what runs by default (bf16 where its manifest says
that it is good enough) at least 55 dB. OpenVINO's own bf16 stands beside that, for comparison."""
import os
import subprocess
import sys
import tempfile

import ncnn
import numpy as np
import openvino

from ncnn_model import FILES, to_onnx

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
kizuna = sys.argv[1]
only_cuts = sys.argv[2:] == ["cuts"]
# Of real frames: second, ffmpeg's filter. Whole ones where the other engines have the memory.
CROPS = {"192x128, cut": (0.4, "crop=192:128:500:300:exact=1"), "97x61, cut": (3.0, "crop=97:61:700:200:exact=1")}
PICTURES = {"animevideov3": {**CROPS, "854x480": (2.0, "scale=854:480"), "1280x720": (4.0, "null")},
            "anime-6b": {**CROPS, "640x360": (2.0, "scale=640:360"), "640x360, first": (0.04, "scale=640:360")},
            "x4plus": {"97x61, cut": CROPS["97x61, cut"], "160x90": (2.0, "scale=160:90")}}
FP32_WORST, DEFAULT_PSNR = 1e-4, 55
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def read_luma(second, change, path):
    """A picture's luma, in a file for kizuna too."""
    clip = os.path.join(root, "media", "bigbuckbunny.mp4")
    pgm = subprocess.run(["ffmpeg", "-v", "error", "-ss", str(second), "-i", clip, "-frames:v", "1", "-vf",
                          f"{change},format=gray", "-c:v", "pgm", "-f", "image2pipe", "-"], check=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout
    width, height = map(int, pgm.split(None, 3)[1:3])
    luma = np.frombuffer(pgm[-width * height:], np.uint8).reshape(height, width).astype(np.float32) / 255
    luma.tofile(path)
    return luma


def run_ncnn(model, picture):
    net = ncnn.Net()
    for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
                   "use_vulkan_compute", "use_int8_inference"):
        setattr(net.opt, option, False)
    stem = os.path.join(root, "models", "weights", FILES[model])
    assert net.load_param(stem + ".param") == 0 and net.load_model(stem + ".bin") == 0
    extractor = net.create_extractor()
    # A Mat made from an array borrows its memory.
    extractor.input("data", ncnn.Mat(picture).clone())
    output = extractor.extract("output")[1]
    return np.stack([np.array(output.channel(c)) for c in range(3)])


def run_openvino(model, picture, precision="f32"):
    stem = os.path.join(root, "models", "weights", FILES[model])
    core = openvino.Core()
    network = core.read_model(to_onnx(stem + ".param", stem + ".bin").SerializeToString())
    network.reshape([1, *picture.shape])
    compiled = core.compile_model(network, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return compiled.create_infer_request().infer([picture[None]])[0][0].astype(np.float32)


def run_kizuna(model, luma_path, shape, precision, work):
    """None where this CPU has no bf16."""
    out = os.path.join(work, "out.f32")
    done = subprocess.run([kizuna, "bench", "-m", model, "--size", f"{shape[1]}x{shape[0]}", "--frames", "1",
                           "--precision", precision, "-i", luma_path, "--dump", out, "-t", "4096"],
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "KIZUNA_DATA_DIR": root})
    if done.returncode and "no bf16" in done.stderr:
        return None
    if done.returncode:
        sys.exit(done.stderr.strip())
    return np.fromfile(out, np.float32).reshape(shape[0] * 4, shape[1] * 4)


def worst_difference(a, b):
    return float(np.abs(a - b).max())


def psnr(a, b):
    return -10 * np.log10(float(np.square(a - b).mean()) + 1e-30)


class Tap:
    def __init__(self):
        self.count = self.failed = 0

    def result(self, good, name):
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)


def compare(model, name, luma, path, work, tap):
    """Two tests, and the picture's row of the table."""
    picture = np.ascontiguousarray(np.stack([luma] * 3))
    witnesses = [np.tensordot(LUMA, run(model, picture), 1) for run in (run_ncnn, run_openvino)]
    fp32 = run_kizuna(model, path, luma.shape, "fp32", work)
    bf16 = run_kizuna(model, path, luma.shape, "bf16", work)
    worst = [worst_difference(fp32, w) for w in witnesses]
    cells = [f"{w:.1e}" for w in worst] + [f"{worst_difference(*witnesses):.1e}"]
    tap.result(max(worst) <= FP32_WORST, f"{model} {name} fp32")
    if bf16 is None:
        tap.result(True, f"{model} {name} by default # SKIP this CPU has no bf16")
    else:
        ratios = [psnr(bf16, w) for w in witnesses]
        own = psnr(np.tensordot(LUMA, run_openvino(model, picture, "bf16"), 1), witnesses[1])
        default = run_kizuna(model, path, luma.shape, "auto", work)
        cells += [f"{r:.1f} dB" for r in ratios + [own]]
        tap.result(min(psnr(default, w) for w in witnesses) >= DEFAULT_PSNR, f"{model} {name} by default")
    print(f"# | {model} | {name} | {' | '.join(cells)} |", flush=True)


def main():
    tap = Tap()
    print("# | network | picture | fp32 to ncnn, worst | to OpenVINO | ncnn to OpenVINO | bf16 to ncnn | to OpenVINO "
          "| OpenVINO's bf16 to its fp32 |\n# |---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as work:
        path = os.path.join(work, "luma.f32")
        for model, pictures in PICTURES.items():
            for name, (second, change) in pictures.items():
                if name in CROPS or not only_cuts:
                    compare(model, name, read_luma(second, change, path), path, work, tap)
    print(f"1..{tap.count}")
    sys.exit(tap.failed > 0)


main()
