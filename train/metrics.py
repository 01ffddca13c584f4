"""How near one picture is to another, and how steady one clip beside another."""

import numpy as np
import torch
from scipy import ndimage
from ssimulacra2 import ssimulacra2 as published
from torch.nn import functional as F


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


class Seen:
    """A target as SSIMULACRA2 and CIEDE2000 see it, RGB, uint8: what doesn't depend on what is compared with it."""

    def __init__(self, rgb):
        self.lab, self.scales = lab(rgb), []
        for planes in halved(linear(rgb)):
            x = xyb(planes)
            self.scales.append((x, *blurred(torch.cat([x, x * x])).split(3)))


def halved(planes):
    for _ in range(published.kNumScales):
        if min(planes.shape[1:]) < 8:
            break
        yield planes
        planes = F.avg_pool2d(planes[None], 2, ceil_mode=True, count_include_pad=False)[0]


def ssimulacra2(made, seen):
    """Of an RGB picture, uint8, and its target; 100 is the same picture. Sneyers, "SSIMULACRA 2", as the Python
    package of that name computes it, with its weights; here in fp32 and planes, in a quarter of its time."""
    scales = published.Msssim()
    for planes, target in zip(halved(linear(made)), seen.scales):
        scales.scales.append(ssimulacra2_scale(xyb(planes), *target))
    return scales.score()


LINEAR = np.arange(256) / 255
LINEAR = np.where(LINEAR <= 0.04045, LINEAR / 12.92, ((LINEAR + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear(rgb):
    """Planes of linear light, 0 to 1, of sRGB, uint8."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(LINEAR[rgb], -1, 0)))


def xyb(planes):
    """XYB, shifted so that nothing is negative."""
    matrix = torch.tensor(published.kOpsinAbsorbanceMatrix, dtype=torch.float32).reshape(3, 3)
    mixed = torch.einsum("oc,chw->ohw", matrix, planes).clamp_(min=-published.kB0).add_(published.kB0)
    a, b, c = mixed.pow_(1 / 3).sub_(published.kB0 ** (1 / 3))
    y = 0.5 * (a + b)
    return torch.stack([7 * (a - b) + 0.42, y + 0.01, c - y + 0.55])


REACH, BLOCK = 5, 32
TAPS = np.exp(-0.5 * (np.arange(-REACH, REACH + 1) / 1.5) ** 2)
BAND = torch.tensor([[TAPS[i - o] / TAPS.sum() if 0 <= i - o <= 2 * REACH else 0 for o in range(BLOCK)]
                     for i in range(BLOCK + 2 * REACH)], dtype=torch.float32)


def blurred(planes):
    """Sigma 1.5; nothing left and right, mirrored above and below. By products with a band of the taps,
    which is what is fast."""
    rows = filtered(F.pad(planes, (REACH, REACH)))
    columns = rows.transpose(1, 2)
    sides = columns[..., :REACH].flip(-1), columns[..., -REACH:].flip(-1)
    return filtered(torch.cat([sides[0], columns, sides[1]], -1)).transpose(1, 2)


def filtered(rows):
    width = rows.shape[-1] - 2 * REACH
    rows = F.pad(rows, (0, -width % BLOCK))
    return (rows.unfold(-1, BLOCK + 2 * REACH, BLOCK) @ BAND).flatten(-2)[..., :width]


def ssimulacra2_scale(b, a, ma, saa):
    """What one scale of `b` adds, `a` being the target's: means and 4-norms, by channel, of where the structure
    differs, and of edges that are new and that are lost."""
    mb, sbb, sab = blurred(torch.cat([b, b * b, a * b])).split(3)
    structure = (1 - (ma - mb) ** 2) * (2 * (sab - ma * mb) + published.kC2)
    structure = (1 - structure / ((saa - ma * ma) + (sbb - mb * mb) + published.kC2)).clamp(min=0)
    edges = (1 + (b - mb).abs()) / (1 + (a - ma).abs()) - 1
    scale = published.MsssimScale()
    scale.avg_ssim = norms(structure).T.ravel()
    scale.avg_edgediff = np.concatenate([norms(edges.clamp(min=0)), norms((-edges).clamp(min=0))]).T.ravel()
    return scale


def norms(planes):
    """[mean, 4-norm] by channel."""
    means = planes.mean((1, 2), dtype=torch.float64), (planes ** 4).mean((1, 2), dtype=torch.float64)
    return np.stack([means[0].numpy(), means[1].numpy() ** 0.25])


def lab(rgb):
    """CIELAB under D65 of sRGB, uint8."""
    xyz = LINEAR[rgb] @ np.float32([[0.4124564, 0.2126729, 0.0193339], [0.3575761, 0.7151522, 0.1191920],
                                    [0.1804375, 0.0721750, 0.9503041]]) / np.float32([0.95047, 1, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]),
                     200 * (f[..., 1] - f[..., 2])], -1)


def ciede2000(made, target):
    """CIEDE2000 of each pixel of two pictures in CIELAB; Sharma, Wu and Dalal, "The CIEDE2000 color-difference
    formula", 2005."""
    (l1, a1, b1), (l2, a2, b2) = (np.moveaxis(p, -1, 0) for p in (target, made))
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


STILL = 16  # pixels around one that must hold, too: what moves there reaches into it


def held(before, after):
    """Where a drawing is held from one frame to the next: nothing changes there, nor around it."""
    return ndimage.maximum_filter((before != after).astype(np.uint8), 2 * STILL + 1) == 0


def shimmer(made, still):
    """How much of the frames `made` changes where the target holds: the mean and the 99.9th percentile of the
    absolute difference of consecutive frames, in code values of 255; None where nothing holds. `still` has
    held() of each pair. It is the warping error of Lai et al., "Learning blind video temporal consistency",
    2018, with an optical flow that is known to be zero, in absolute values."""
    parts = np.concatenate([np.abs(b - a)[s] for a, b, s in zip(made, made[1:], still)])
    return [255 * float(parts.mean()), 255 * float(np.quantile(parts, 0.999))] if len(parts) else None


def unsteadiness(made, target, still):
    """How wrongly `made` moves where the target does: the root mean square of the difference between their
    differences of consecutive frames, in code values of 255; None where nothing moves. TecoGAN's tLP (Chu
    et al., "Learning temporal coherence via self-supervision for GAN-based video generation", 2020) compares
    such differences in a network's features; these are of the pixels."""
    error = [m - t for m, t in zip(made, target)]
    parts = np.concatenate([(b - a)[~s] for a, b, s in zip(error, error[1:], still)])
    return 255 * float(np.sqrt(np.mean(parts.astype(np.float64) ** 2))) if len(parts) else None
