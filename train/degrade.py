"""Sources as they are met: the frames at half the size, by one of the masters' filters, and what an
encoder left of them. Sources are luma as video holds it: 8 bit, black 16, white 235.
"""

import io
import random
import subprocess

import numpy as np
from PIL import Image

import scenes

WIDTH, HEIGHT = scenes.WIDTH // 2, scenes.HEIGHT // 2


def codes(values):
    """Luma 0 to 1 as code values."""
    return np.clip(np.rint(values * 219 + 16), 0, 255).astype(np.uint8)


def values(code):
    """Code values as luma, black 0 and white 1, fp32."""
    return (code.astype(np.float32) - 16) / np.float32(219)


FILTERS = {"area": Image.Resampling.BOX, "bicubic": Image.Resampling.BICUBIC,
           "lanczos": Image.Resampling.LANCZOS}


def master(luma, name):
    """Half the size, as a studio's or a broadcaster's scaler makes it; fp32."""
    small = luma.shape[1] // 2, luma.shape[0] // 2
    return np.asarray(Image.fromarray(luma).resize(small, FILTERS[name]))


def filter_of(rng):
    return rng.choices(["area", "bicubic", "lanczos"], [0.5, 0.25, 0.25])[0]


def blurred(picture, sigma):
    radius = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps = (taps / taps.sum()).astype(np.float32)
    for axis in (0, 1):
        wide = np.pad(picture, [(radius, radius) if a == axis else (0, 0) for a in (0, 1)], "edge")
        n = picture.shape[axis]
        picture = sum(t * np.take(wide, np.arange(i, i + n), axis) for i, t in enumerate(taps))
    return picture


def worn(rng, frames):
    """What happened to a master before it was encoded, if anything: the same for every frame."""
    kind = rng.random()
    if kind < 0.06:
        sigma = rng.uniform(0.3, 0.6)
        frames = [blurred(f, sigma) for f in frames]
    elif kind < 0.12:  # sharpened by somebody: halos
        sigma, gain = rng.uniform(0.5, 1.2), rng.uniform(0.1, 0.5)
        frames = [f + gain * (f - blurred(f, sigma)) for f in frames]
    if rng.random() < 0.05:  # few levels: banding
        n = rng.choice([48, 64, 96])
        frames = [np.rint(f * n) / n for f in frames]
    if rng.random() < 0.06:
        noise = np.random.default_rng(rng.getrandbits(32))
        grain, soft = rng.uniform(0.004, 0.015), rng.random() < 0.5
        frames = [f + grain * shaped(noise, f.shape, soft) for f in frames]
    return frames


def shaped(noise, shape, soft):
    grain = noise.standard_normal(shape, dtype=np.float32)
    return blurred(grain, 0.6) * 2 if soft else grain


def x264(rng, frames):
    crf, preset = rng.choice(["16", "18", "20", "23", "26", "28"]), rng.choice(["veryfast", "medium"])
    return through(frames, ["-c:v", "libx264", "-crf", crf, "-preset", preset,
                            *rng.choice([[], ["-tune", "animation"]])])


def x265(rng, frames):
    return through(frames, ["-c:v", "libx265", "-crf", rng.choice(["18", "20", "23", "26"]), "-preset", "fast",
                            "-x265-params", "log-level=none:pools=1"])


def mpeg2(rng, frames):
    return through(frames, ["-c:v", "mpeg2video", "-q:v", rng.choice(["2", "3", "5"])])


def jpegs(rng, frames):
    quality = rng.choice([50, 60, 70, 80, 90])
    return [jpeg(f, quality) for f in frames]


def untouched(_, frames):
    """So that what is good stays good, and fine texture isn't taken for noise."""
    return frames


ENCODERS = {untouched: 12, x264: 6, x265: 2, mpeg2: 1, jpegs: 4}


def encoded(rng, frames):
    """The code values of `frames` after an encoder and its decoder."""
    encoder, = rng.choices(list(ENCODERS), list(ENCODERS.values()))
    return encoder(rng, frames)


def jpeg(frame, quality):
    """JPEG has full range; a source made of one is limited again."""
    full = np.clip(np.rint((frame.astype(np.float32) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(full).save(file, "JPEG", quality=quality)
    return codes(np.asarray(Image.open(file)).astype(np.float32) / 255)


def through(frames, options):
    """Through ffmpeg: encoded with `options` as 4:2:0, decoded again; only luma counts."""
    height, width = frames[0].shape
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}"]
    grey = np.full(width * height // 2, 128, np.uint8).tobytes()
    data = b"".join(f.tobytes() + grey for f in frames)
    call = ["ffmpeg", "-v", "error", "-threads", "1"]
    made = subprocess.run([*call, *raw, "-r", "24", "-i", "-", *options, "-f", "matroska", "-"],
                          input=data, capture_output=True, check=True).stdout
    back = subprocess.run([*call, "-i", "-", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"], input=made,
                          capture_output=True, check=True).stdout
    planes = np.frombuffer(back, np.uint8).reshape(len(frames), height * 3 // 2, width)
    return [p[:height] for p in planes]


def clean(seed, lumas):
    """Masters of the frames, code values; the filter follows from the seed."""
    rng = random.Random(f"clean {seed}")
    name = filter_of(rng)
    return [codes(master(f, name)) for f in lumas]


def lossy(seed, lumas):
    """The same frames, worn and encoded."""
    rng = random.Random(f"lossy {seed}")
    name = filter_of(rng)
    small = worn(rng, [master(f, name) for f in lumas])
    return encoded(rng, [codes(f) for f in small])
