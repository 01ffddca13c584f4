"""How much of a held drawing the program makes to move, with --reuse off and near, and what that costs.

    python3 steady.py ../build/train/sources kizuna-s-clean kizuna-m-clean …

The clips of evaluate.py through x264 and build/release/kizuna, twice as large, 10 bit, lossless. Shimmer is
beside bicubic scaling's; PSNR and what moves wrongly are as there; the last column is how near near is to off.
"""

import argparse
import os
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image

import degrade
import inputs
import judged
import metrics

SOURCES = ("h264 crf 23", "h264 crf 28")
MODES = ("off", "near")


def written(codes, file):
    height, width = codes[0].shape
    grey = np.full(width * height // 2, 128, np.uint8).tobytes()
    subprocess.run(["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{width}x{height}",
                    "-r", "24", "-i", "-", "-c:v", "ffv1", file],
                   input=b"".join(c.tobytes() + grey for c in codes), check=True)


def made(model, codes, mode):
    """The luma of what the program makes."""
    with tempfile.TemporaryDirectory() as folder:
        source, result = pathlib.Path(folder, "source.mkv"), pathlib.Path(folder, "result.mkv")
        written(codes, source)
        subprocess.run([judged.KIZUNA, "upscale", source, "-o", result, "-s", "2", "-m", model, "-e", "ffv1", "--quiet",
                        "--reuse", mode, "--pix-fmt", "yuv420p10le", "--no-resume"], check=True,
                       env={**os.environ, "KIZUNA_DATA_DIR": str(judged.ROOT)})
        raw = subprocess.run(["ffmpeg", "-v", "error", "-i", result, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-"],
                             capture_output=True, check=True).stdout
    height, width = 2 * codes[0].shape[0], 2 * codes[0].shape[1]
    frames = np.frombuffer(raw, np.uint16).reshape(len(codes), height * 3 // 2, width)[:, :height]
    return [np.clip((f.astype(np.float32) - 64) / np.float32(876), 0, 1) for f in frames]


def row(item, source, model, bicubic):
    """Of each mode: shimmer's two, PSNR, what moves wrongly, PSNR to the first mode's worst frame."""
    codes = item.source(source)
    frames = {mode: made(model, codes, mode) for mode in MODES}
    plain = metrics.shimmer([np.clip(bicubic(degrade.values(c)), 0, 1) for c in codes], item.still)
    for mode in MODES:
        ours = metrics.shimmer(frames[mode], item.still)
        yield [ours[0] / plain[0], ours[1] / plain[1],
               np.mean([metrics.psnr(f, t.luma) for f, t in zip(frames[mode], item.targets)]),
               metrics.unsteadiness(frames[mode], [t.luma for t in item.targets], item.still) or np.nan,
               min((metrics.psnr(a, b) for a, b in zip(frames[mode], frames["off"]) if not np.array_equal(a, b)),
                   default=np.nan)]


def main():
    parser = argparse.ArgumentParser(description="Tell how the program holds what is held.")
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("models", nargs="+")
    args = parser.parse_args()
    clips = list(inputs.every(args.sources, ["validation", "hold-out"], args.sources.parent / "judged", True))
    bicubic = judged.resized(Image.Resampling.BICUBIC)
    for model in args.models:
        for source in SOURCES:
            rows = np.array([list(row(item, source, model, bicubic)) for item in clips])
            for mode, (mean, peak, psnr, moves, off) in zip(MODES, rows.transpose(1, 2, 0)):
                print(f"| {model} | {source} | {mode} | {mean.mean():.2f} ({mean.max():.2f}) / {peak.mean():.2f} "
                      f"({peak.max():.2f}) | {psnr.mean():.3f} | {np.nanmean(moves):.2f} | {np.nanmin(off):.1f} |"
                      .replace("nan", ""), flush=True)


if __name__ == "__main__":
    main()
