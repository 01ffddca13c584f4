"""Reuse on the clips of media/reuse: see scripts/bench-reuse."""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent
KIZUNA = ROOT / "build/release/kizuna"
CLIPS = ["held", "held-low", "held-abr", "pan", "fade", "grain", "bunny"]
WIDTH, HEIGHT, SCALE, CELL = 854, 480, 4, 32


def run(*arguments):
    return subprocess.run([str(KIZUNA), *map(str, arguments)], check=True, text=True,
                          env={**os.environ, "KIZUNA_DATA_DIR": str(ROOT)},
                          stdout=subprocess.PIPE, stdin=subprocess.DEVNULL).stdout


def bench(clip, options, mode):
    lines = run("bench", "--json", "--reuse", mode, "-s", SCALE, "-m", options.model, "--frames",
                options.frames, clip).splitlines()
    return [json.loads(line) for line in lines]


def upscale(clip, options, mode, target, *more):
    began = time.monotonic()
    run("upscale", "--quiet", "--progress", "off", "-y", "--no-resume", "--reuse", mode, "-s",
        SCALE, "-m", options.model, "--frames", options.frames, *more, clip, "-o", target)
    return time.monotonic() - began, os.path.getsize(target)


def luma(path):
    """Frames of 10-bit luma."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", path, "-vf", "extractplanes=y", "-f",
               "rawvideo", "-pix_fmt", "gray10le", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as decoder:
        size = WIDTH * SCALE * HEIGHT * SCALE * 2
        while len(data := decoder.stdout.read(size)) == size:
            yield np.frombuffer(data, np.uint16).reshape(HEIGHT * SCALE, -1).astype(np.float32)


def cell_means(values):
    """Of every whole cell."""
    side = CELL * SCALE
    rows, columns = values.shape[0] // side, values.shape[1] // side
    return values[:rows * side, :columns * side].reshape(rows, side, columns, side).mean((1, 3))


def seam(near, off):
    """Sums of the steps across borders between reused and new cells, with and without reuse."""
    side, sums = CELL * SCALE, np.zeros(2)
    new = cell_means(np.abs(near - off)) < 0.02
    for turn in (False, True):
        a, b, n = (near.T, off.T, new.T) if turn else (near, off, new)
        for row, column in zip(*np.nonzero(n[:, 1:] != n[:, :-1])):
            x, y = (column + 1) * side, slice(row * side, (row + 1) * side)
            sums += [np.abs(p[y, x] - p[y, x - 1]).sum() for p in (a, b)]
    return sums


def compare(near_path, off_path):
    """The step across borders, and the step from frame to frame of a cell's mean: with reuse as a
    multiple of that without."""
    seams, steps, before = np.zeros(2), np.zeros(2), None
    for near, off in zip(luma(near_path), luma(off_path)):
        seams += seam(near, off)
        means = [cell_means(p) for p in (near, off)]
        if before:
            steps += [np.abs(m - b).mean() for m, b in zip(means, before)]
        before = means
    return [a / b if b else 1 for a, b in (seams, steps)]


def row(name, options, folder):
    clip = ROOT / f"media/reuse/{name}.mkv"
    figures = bench(clip, options, "near")[-1]
    off, near, exact = (folder / f"{mode}.mkv" for mode in ("off", "near", "exact"))
    seconds = {p: upscale(clip, options, p.stem, p, "-e", "ffv1", "--no-verify")[0]
               for p in (off, near, exact)}
    same = all(np.array_equal(a, b) for a, b in zip(luma(exact), luma(off), strict=True))
    seams, steps = compare(near, off)
    _, off_size = upscale(clip, options, "off", off, "-p", "fast", "-m", options.model)
    _, near_size = upscale(clip, options, "near", near, "-p", "fast", "-m", options.model)
    print(f"| {name} | {100 * figures['computed']:.0f} % | {figures['full_seconds']:.1f} s "
          f"| {figures['seconds']:.1f} s | {figures['speedup']:.2f} | {figures['psnr']:.1f} "
          f"| {figures['worst_psnr']:.1f} | {seams:.3f} | {steps:.3f} "
          f"| {near_size / off_size:.2f} | {'equal' if same else 'DIFFERENT'}, "
          f"{seconds[off] / seconds[exact]:.2f} |", flush=True)


def encoders(name, options, folder):
    """End to end, with and without."""
    clip, target = ROOT / f"media/reuse/{name}.mkv", folder / "out.mkv"
    print("\n| encoder | off | near | times as fast | size |\n|---|---|---|---|---|")
    for label, how in (("ffv1", ["-e", "ffv1"]),
                       ("x265 ultrafast", ["--encoder-preset", "ultrafast"]),
                       ("x265 slow", ["--encoder-preset", "slow"])):
        off, off_size = upscale(clip, options, "off", target, *how)
        near, near_size = upscale(clip, options, "near", target, *how)
        print(f"| {label} | {off:.1f} s | {near:.1f} s | {off / near:.2f} "
              f"| {near_size / off_size:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="animevideov3")
    parser.add_argument("--frames", type=int, default=72)
    parser.add_argument("--clip", action="append", choices=CLIPS)
    parser.add_argument("--encoders", action="store_true")
    options = parser.parse_args()
    print(f"{options.model}, {options.frames} frames of {WIDTH}x{HEIGHT}, ×{SCALE}\n")
    with tempfile.TemporaryDirectory(dir=ROOT / "media") as folder:
        folder = pathlib.Path(folder)
        if options.encoders:
            return encoders((options.clip or ["held"])[0], options, folder)
        print("| clip | computed | off | near | times as fast | PSNR | worst frame | seams | steps "
              "| size | exact |\n|---|---|---|---|---|---|---|---|---|---|---|")
        for name in options.clip or CLIPS:
            row(name, options, folder)
    return 0


sys.exit(main())
