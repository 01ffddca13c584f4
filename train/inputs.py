"""What networks are judged on: a picture or a clip, at half its size, as encoders leave it.

Sources are reduced by area means, clean and through each encoder, and clean by the other filters that masters
are made with, too. They are kept, as encoding takes longer than most networks do.
"""

import functools
import hashlib

import numpy as np
from PIL import Image

import clips
import degrade
import metrics
import pictures
import scenes

BT709 = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]])
STILL = 5   # frames of a picture that a video encoder gets, of which the last counts
SEEN = 12   # of a clip, every twelfth frame is compared as an eye sees it; the sixth is the first


def x264(crf):
    return lambda codes: degrade.through(codes, ["-c:v", "libx264", "-crf", str(crf), "-preset", "medium"])


def clean(codes):
    return codes


# (filter, encoder)
SOURCES = {"clean": ("area", clean), "clean, bicubic": ("bicubic", clean), "clean, lanczos": ("lanczos", clean),
           "jpeg 70": ("area", lambda codes: [degrade.jpeg(c, 70) for c in codes]),
           "h264 crf 23": ("area", x264(23)), "h264 crf 28": ("area", x264(28))}
PICTURES_ONLY = {"clean, bicubic", "clean, lanczos", "jpeg 70"}


def scaled(plane, width, height, filter):
    return np.asarray(Image.fromarray(plane).resize((width, height), filter))


def halves(rgb):
    """The two colour differences at half the size, by area; fp32."""
    planes = np.moveaxis(rgb.astype(np.float32) / 255 @ BT709[1:].T.astype(np.float32), -1, 0)
    return [degrade.master(p, "area") for p in planes]


class Target:
    """A frame, RGB, uint8, and what is made of it once for all networks."""

    def __init__(self, rgb):
        height, width = (n // 4 * 4 for n in rgb.shape[:2])  # 4:2:0 wants sources of even sizes
        self.rgb = rgb[:height, :width]

    @functools.cached_property
    def luma(self):
        return scenes.luma(self.rgb)

    @functools.cached_property
    def seen(self):
        return metrics.Seen(self.rgb)

    @functools.cached_property
    def colour(self):
        """The source's colour, enlarged bicubically, as what it adds to each of RGB."""
        height, width = self.luma.shape
        big = [scaled(c, width, height, Image.Resampling.BICUBIC) for c in halves(self.rgb)]
        return np.stack(big, -1) @ np.linalg.inv(BT709)[:, 1:].T.astype(np.float32)

    def coloured(self, luma):
        """RGB, uint8, of an enlarged luma, which adds itself to each of RGB."""
        return np.clip(np.rint((luma[..., None] + self.colour) * 255), 0, 255).astype(np.uint8)


class Input:
    """A picture, or a clip's frames, with its sources."""

    def __init__(self, name, frames, kept):
        self.name, self.kept = name, kept
        self.targets = [Target(f) for f in frames]
        self.moves = len(frames) > 1
        self.digest = hashlib.sha256(b"".join(t.rgb.tobytes() for t in self.targets)).hexdigest()[:16]
        self.seen = range(SEEN // 2 - 1, len(frames), SEEN) if self.moves else [0]

    def source(self, name):
        """Code values, frame by frame."""
        file = self.kept / f"{self.digest} {name}.npz"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            filter, encoder = SOURCES[name]
            codes = [degrade.codes(degrade.master(t.luma, filter)) for t in self.targets]
            made = encoder(codes if self.moves else codes * STILL)
            np.savez_compressed(file.with_suffix(".partial.npz"), codes=np.stack(made if self.moves else made[-1:]))
            file.with_suffix(".partial.npz").rename(file)
        return list(np.load(file)["codes"])

    @functools.cached_property
    def still(self):
        lumas = [t.luma for t in self.targets]
        return [metrics.held(a, b) for a, b in zip(lumas, lumas[1:])]


def sources_of(moving):
    """JPEG has no time, nor have filters."""
    return [name for name in SOURCES if not (moving and name in PICTURES_ONLY)]


def every(unpacked, roles, kept, moving):
    """All pictures, or all clips, whose packages have one of the roles."""
    found = clips.every(unpacked, roles, kept / "drawn") if moving else (
        (name, [rgb]) for name, rgb in pictures.every(unpacked, roles))
    for name, frames in found:
        yield Input(name, frames, kept / "encoded")
