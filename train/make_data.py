"""Makes the training data: pairs of a frame and its sources, as flat files of uint8.

    python3 make_data.py ../build/train/sources ../build/train/data --scenes 400 --jobs 2

target.u8 holds each frame's luma (255 is white), clean.u8 and lossy.u8 its sources at half the size
(black 16, white 235); two frames of each scene are kept, the first and the last. Scene i is made from
the seed i alone, so the data are the same wherever and however often they are made, given the same
versions of the encoders and of the SVG renderer. Two folders come of it: the training data, and the
same of the packages for validation, with seeds of their own.
"""

import argparse
import json
import multiprocessing
import pathlib

import numpy as np

import degrade
import scenes
import sources

KEPT = (0, scenes.FRAMES - 1)
LOSSY = 2  # sources of different encoders for each frame


def make(seed, library):
    lumas = [scenes.luma(f) for f in scenes.scene(seed, library)]
    target = [np.rint(lumas[k] * 255).astype(np.uint8) for k in KEPT]
    clean = degrade.clean(seed, lumas)
    lossy = [degrade.lossy(f"{seed} {i}", lumas) for i in range(LOSSY)]
    return (np.stack(target), np.stack([clean[k] for k in KEPT]),
            np.stack([[some[k] for some in lossy] for k in KEPT]))


def worker(task):
    index, seed, n, folder, packages, unpacked = task
    if packages not in worker.libraries:
        worker.libraries[packages] = scenes.Library(unpacked, packages)
    library = worker.libraries[packages]
    for name, part, whole in zip(("target", "clean", "lossy"), make(seed, library), shapes(n)):
        file = np.memmap(pathlib.Path(folder, name + ".u8"), np.uint8, "r+", shape=whole)
        file[index * len(KEPT):(index + 1) * len(KEPT)] = part
    return index


worker.libraries = {}


def shapes(n):
    frames = n * len(KEPT)
    small = degrade.HEIGHT, degrade.WIDTH
    return ((frames, scenes.HEIGHT, scenes.WIDTH), (frames, *small), (frames, LOSSY, *small))


def make_all(pool, unpacked, folder, role, n):
    folder.mkdir(parents=True, exist_ok=True)
    packages = sources.packages(role)
    for name, shape in zip(("target", "clean", "lossy"), shapes(n)):
        np.memmap(folder / (name + ".u8"), np.uint8, "w+", shape=shape)
    tasks = [(i, f"{role} {i}", n, folder, packages, unpacked) for i in range(n)]
    for done, _ in enumerate(pool.imap_unordered(worker, tasks), 1):
        if done % 50 == 0:
            print(role, done, "of", n, flush=True)
    (folder / "data.json").write_text(json.dumps({"role": role, "scenes": n, "frames": n * len(KEPT)}))


def main():
    parser = argparse.ArgumentParser(description="Make training data.")
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    with multiprocessing.Pool(args.jobs) as pool:
        make_all(pool, args.sources, args.data / "validation", "validation", 24)
        make_all(pool, args.sources, args.data / "train", "train", args.scenes)


if __name__ == "__main__":
    main()
