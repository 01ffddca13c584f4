"""How near one picture is to another."""

import pathlib
import tempfile

import numpy as np
from PIL import Image
from scipy import ndimage
from ssimulacra2 import compute_ssimulacra2


def psnr(made, target):
    """dB, of luma 0 to 1."""
    return -10 * np.log10(np.mean((made.astype(np.float64) - target) ** 2))


def ssim(made, target):
    """Wang et al., "Image quality assessment: from error visibility to structural similarity", 2004:
    a Gaussian window with sigma 1.5 and 11 taps, luma 0 to 1."""
    def mean(x):
        return ndimage.gaussian_filter(x, 1.5, truncate=5 / 1.5)
    a, b = made.astype(np.float64), target.astype(np.float64)
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    c1, c2 = 0.01 ** 2, 0.03 ** 2
    score = (2 * ma * mb + c1) * (2 * cov + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
    return score[5:-5, 5:-5].mean()


def ssimulacra2(made, target):
    """Of RGB pictures, uint8; 100 is the same picture."""
    with tempfile.TemporaryDirectory() as folder:
        files = [pathlib.Path(folder, name) for name in ("target.png", "made.png")]
        for file, picture in zip(files, (target, made)):
            Image.fromarray(picture).save(file, compress_level=1)
        return compute_ssimulacra2(str(files[0]), str(files[1]))


def lab(rgb):
    """CIELAB under D65 of sRGB, uint8."""
    x = rgb.astype(np.float64) / 255
    x = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
    xyz = x @ np.array([[0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920],
                        [0.1804375, 0.0721750, 0.9503041]]) / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]),
                     200 * (f[..., 1] - f[..., 2])], -1)


def ciede2000(made, target):
    """CIEDE2000 of each pixel; Sharma, Wu and Dalal, "The CIEDE2000 color-difference formula", 2005."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(lab(p), -1, 0) for p in (target, made))
    mean_c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(mean_c ** 7 / (mean_c ** 7 + 25.0 ** 7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    dh = (h2 - h1 + 180) % 360 - 180
    both = c1 * c2 > 0
    dh = np.where(both, dh, 0)
    h = np.where(both, (h1 + dh / 2) % 360, h1 + h2)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    t = (1 - 0.17 * cosine(h - 30) + 0.24 * cosine(2 * h) + 0.32 * cosine(3 * h + 6)
         - 0.20 * cosine(4 * h - 63))
    sl = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    sc, sh = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    rc = 2 * np.sqrt(mean_c ** 7 / (mean_c ** 7 + 25.0 ** 7))
    rt = -np.sin(np.radians(60 * np.exp(-((h - 275) / 25) ** 2))) * rc
    light, chroma = (l2 - l1) / sl, (c2 - c1) / sc
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(dh / 2)) / sh
    return np.sqrt(np.maximum(0, light ** 2 + chroma ** 2 + hue ** 2 + rt * chroma * hue))


def cosine(degrees):
    return np.cos(np.radians(degrees))
