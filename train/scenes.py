"""Scenes: what is enlarged. Each is a few frames of a short shot, as sharp as the picture can be.

A scene has layers with an offset for each frame: a backdrop (a painting or a photograph, a drawing of
lineart.py, or a flat tone) that pans, and things before it (characters, clip art) that move on twos, that is in every
second frame, as cel animation does. Raster art is reduced before it is used, so that its pixels are
as sharp as a frame's can be; vector art is rendered at the size it has in the frame. A frame is RGB,
8 bits a value.
"""

import io
import pathlib
import random
import subprocess

import numpy as np
from PIL import Image

import lineart

Image.MAX_IMAGE_PIXELS = 1 << 27
WIDTH, HEIGHT, FRAMES = 1280, 720, 4
MARGIN = 32  # what a pan may show


class Library:
    """The pictures of some unpacked packages: those that can fill a frame, other opaque ones, those with
    a silhouette, and vector art."""

    def __init__(self, folder, packages):
        self.paintings, self.panels, self.things, self.vectors = [], [], [], []
        for package in packages:
            for path in sorted(pathlib.Path(folder, package).rglob("*")):
                self.sort_in(path)

    def sort_in(self, path):
        kind = path.suffix.lower()
        if kind in (".svg", ".svgz"):
            self.vectors.append(path)
        elif kind in (".png", ".webp", ".jpg", ".jpeg"):
            try:
                with Image.open(path) as image:
                    width, height = image.size
                    clear = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            except (OSError, ValueError):
                return
            if min(width, height) < 280:
                return
            if clear:
                self.things.append(path)
            elif width > WIDTH + 2 * MARGIN and height > HEIGHT + 2 * MARGIN:
                self.paintings.append(path)
            else:
                self.panels.append(path)


def render(svg, height=None):
    """An SVG document (bytes, or a path) as RGBA, `height` pixels high; None where it can't be."""
    source, data = ("/dev/stdin", svg) if isinstance(svg, bytes) else (str(svg), None)
    size = ["--height", str(height), "--keep-aspect-ratio"] if height else []
    try:
        done = subprocess.run(["rsvg-convert", *size, source], input=data, capture_output=True,
                              timeout=20)
        image = Image.open(io.BytesIO(done.stdout)).convert("RGBA")
    except (subprocess.TimeoutExpired, OSError):
        return None
    return image if image.width <= 4 * WIDTH else None


def reduced(path, rng, least_width=0, least_height=0):
    """A raster picture at 0.4 to 0.8 of its size, or the least that covers what is asked."""
    image = Image.open(path).convert("RGBA")
    cover = max(least_width / image.width, least_height / image.height)
    scale = max(rng.uniform(0.4, 0.8), cover)
    size = round(image.width * scale), round(image.height * scale)
    return image.resize(size, Image.Resampling.LANCZOS)


def backdrop(rng, library):
    """An opaque picture that covers the frame and its margin."""
    width, height = WIDTH + 2 * MARGIN, HEIGHT + 2 * MARGIN
    if library.paintings and rng.random() < 0.6:
        image = reduced(rng.choice(library.paintings), rng, width, height)
        x, y = rng.randint(0, image.width - width), rng.randint(0, image.height - height)
        return image.crop((x, y, x + width, y + height))
    if rng.random() < 0.85:
        return render(lineart.drawing(rng, width, height).encode())
    return Image.new("RGBA", (width, height), lineart.colour(rng))


def thing(rng, library):
    """Something with a silhouette, or None."""
    pool = rng.random()
    if pool < 0.5 and library.vectors:
        return render(rng.choice(library.vectors), rng.randint(120, HEIGHT))
    if pool < 0.85 and library.things:
        return reduced(rng.choice(library.things), rng)
    return reduced(rng.choice(library.panels), rng) if library.panels else None


def scene(seed, library):
    """FRAMES frames of one shot: a list of [HEIGHT][WIDTH][3] arrays of uint8."""
    rng = random.Random(seed)
    back = None
    while back is None:
        back = backdrop(rng, library)
    layers = []
    for _ in range(rng.choice([1, 3, 4, 6, 8])):
        image = thing(rng, library)
        if image is not None and min(image.size) >= 16:
            x = rng.randint(-image.width // 2, WIDTH - image.width // 2)
            y = rng.randint(-image.height // 2, HEIGHT - image.height // 2)
            layers.append((image, x, y, rng.choice([0, 0, rng.randint(-9, 9)]), rng.randint(-5, 5)))
    pan = rng.choice([(0, 0), (0, 0), (rng.randint(-8, 8), rng.randint(-4, 4))])
    return [compose(back, pan, layers, t) for t in range(FRAMES)]


def compose(back, pan, layers, t):
    x, y = MARGIN + pan[0] * t, MARGIN + pan[1] * t
    frame = back.crop((x, y, x + WIDTH, y + HEIGHT))
    step = t // 2 * 2
    for image, left, top, dx, dy in layers:
        sheet = Image.new("RGBA", frame.size)
        sheet.paste(image, (left + dx * step, top + dy * step))
        frame = Image.alpha_composite(frame, sheet)
    return np.asarray(frame.convert("RGB"))


def luma(frame):
    """BT.709's luma of an RGB frame, 0 to 1, fp32."""
    return frame.astype(np.float32) @ np.float32([0.2126, 0.7152, 0.0722]) / np.float32(255)
