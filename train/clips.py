"""The clips that networks are judged by (clips.json): of packages that nothing was trained on. Half are for
validation, half held out, as with the pictures.

A clip is drawn on twos and threes: each layer shows a drawing for `held` frames, then the next one,
`step` pixels further; a layer held for one frame pans, one without a step and with one drawing stands
still. Two are synfig's own examples, rendered by it. All are 24 frames at 24 a second.
"""

import json
import pathlib
import subprocess
import tempfile

import numpy as np
from PIL import Image

import pictures
import sources

FRAMES, RATE = 24, 24


def listed():
    return json.loads((pathlib.Path(__file__).parent / "clips.json").read_text())


def names(layer):
    """A layer's drawings; [pattern, first, end] stands for those of a numbered sequence."""
    first, *rest = layer["drawings"]
    return [first.format(i) for i in range(*rest)] if rest and isinstance(rest[0], int) else [first, *rest]


def packages(entry):
    if "synfig" in entry:
        return {entry["synfig"].split("/")[0]}
    return {name.split("/")[0] for layer in entry["layers"] for name in names(layer)}


def shown(layer, t):
    """Which of a layer's drawings frame t shows, and where."""
    n = t // layer.get("held", FRAMES)
    drawings, (x, y), (dx, dy) = names(layer), layer["at"], layer.get("step", (0, 0))
    return drawings[n % len(drawings)], (x + dx * n, y + dy * n)


def composed(unpacked, entry):
    opened = {name: pictures.opened(pictures.found(unpacked, name))
              for layer in entry["layers"] for name in names(layer)}
    for t in range(FRAMES):
        frame = Image.new("RGBA", entry["size"], "#d8dee6")
        for layer in entry["layers"]:
            name, at = shown(layer, t)
            sheet = Image.new("RGBA", frame.size)
            sheet.paste(opened[name], at)
            frame = Image.alpha_composite(frame, sheet)
        yield frame


def rendered(unpacked, entry):
    """By synfig, which draws each drawing once."""
    width, height = entry["size"]
    drawings = FRAMES // entry["held"]
    begin, rate = entry["begin"] / RATE, RATE / entry["held"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["synfig", "-q", "-T", "1", "-t", "png", "-w", str(width), "-h", str(height),
                        "--fps", str(rate), "--begin-time", f"{begin}s",
                        "--end-time", f"{begin + (drawings - 1) / rate}s", "-o", f"{folder}/drawing.png",
                        pictures.found(unpacked, entry["synfig"])], check=True, stderr=subprocess.DEVNULL)
        files = sorted(pathlib.Path(folder).glob("drawing.*.png"))
        if len(files) != drawings:
            raise SystemExit(f"synfig drew {len(files)} of {drawings} drawings of {entry['synfig']}")
        for file in files:
            frame = Image.open(file).convert("RGBA")
            yield from [frame] * entry["held"]


def clip(unpacked, entry, drawn):
    """FRAMES frames, RGB, uint8; kept in the folder `drawn`, as synfig takes its time."""
    files = [drawn / f"{entry['clip']}.{t:02}.png" for t in range(FRAMES)]
    if not files[-1].exists():
        drawn.mkdir(parents=True, exist_ok=True)
        make = rendered if "synfig" in entry else composed
        for file, frame in zip(files, make(unpacked, entry)):
            frame.convert("RGB").save(file.with_suffix(".partial"), "PNG")
            file.with_suffix(".partial").rename(file)
    return [np.asarray(Image.open(f)) for f in files]


def every(unpacked, roles, drawn):
    """(name, frames) of each clip whose packages have one of the roles."""
    for entry in listed():
        if packages(entry) <= set(sources.packages(*roles)):
            yield entry["clip"], clip(unpacked, entry, drawn)
