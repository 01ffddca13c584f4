"""One table of all networks: how near they come to pictures that none of ours was trained on.

    python3 evaluate.py ../build/train/sources bicubic ../models/kizuna-s.safetensors …

Each picture is reduced to half its size by area means, once clean and once for each lossy encoder, and
enlarged again by each network. PSNR and SSIM are of luma, SSIMULACRA2 of RGB whose colour is the small
picture's, enlarged bicubically; drift is the mean CIEDE2000 of it.
"""

import argparse
import pathlib
import sys

import numpy as np
from PIL import Image

import degrade
import judged
import metrics
import pictures
import scenes

BT709 = np.array([[0.2126, 0.7152, 0.0722], [-0.1146, -0.3854, 0.5], [0.5, -0.4542, -0.0458]])


def x264(crf):
    def run(code):
        still = ["-c:v", "libx264", "-crf", str(crf), "-preset", "medium"]
        return degrade.through([code] * 5, still)[4]
    return run


SOURCES = {"clean": lambda code: code, "jpeg 70": lambda code: degrade.jpeg(code, 70),
           "h264 crf 23": x264(23), "h264 crf 28": x264(28)}


def scaled(plane, width, height, filter):
    return np.asarray(Image.fromarray(plane).resize((width, height), filter))


def halves(rgb):
    """Luma and the two colour differences at half the size, by area; fp32."""
    planes = np.moveaxis(rgb.astype(np.float32) / 255 @ BT709.T.astype(np.float32), -1, 0)
    height, width = rgb.shape[:2]
    return [scaled(p, width // 2, height // 2, Image.Resampling.BOX) for p in planes]


def coloured(luma, colour):
    height, width = luma.shape
    big = [scaled(c, width, height, Image.Resampling.BICUBIC) for c in colour]
    rgb = np.stack([luma, *big], -1) @ np.linalg.inv(BT709).T
    return np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint8)


def even(code):
    """4:2:0 wants even sizes."""
    return code[:code.shape[0] // 2 * 2, :code.shape[1] // 2 * 2]


def scores(network, rgb, source, quick):
    luma, *colour = halves(rgb)
    code = source(even(degrade.codes(luma)))
    height, width = code.shape
    target, colour = rgb[:2 * height, :2 * width], [c[:height, :width] for c in colour]
    made = np.clip(network(degrade.values(code)), 0, 1)
    wanted = scenes.luma(target)
    out = [metrics.psnr(made, wanted), metrics.ssim(made, wanted)]
    if not quick:
        shown = coloured(made, colour)
        drift = metrics.ciede2000(shown, target)
        out += [metrics.ssimulacra2(shown, target), drift.mean(), drift.max()]
    return out


HEAD = {True: "PSNR / SSIM", False: "PSNR / SSIM / SSIMULACRA2 / drift, mean and worst"}


def main():
    parser = argparse.ArgumentParser(description="Compare networks.")
    parser.add_argument("sources", type=pathlib.Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--quick", action="store_true", help="PSNR and SSIM only")
    parser.add_argument("--hold-out", action="store_true",
                        help="the hold-out's pictures, too: for a table, never for a choice")
    parser.add_argument("--every", type=int, default=1, help="only every Nth picture")
    args = parser.parse_args()
    roles = ["validation", "hold-out"] if args.hold_out else ["validation"]
    chosen = list(pictures.every(args.sources, roles))[::args.every]
    print(f"{len(chosen)} pictures; {HEAD[args.quick]}\n\n| network | " + " | ".join(SOURCES) + " |")
    print("|---" * (1 + len(SOURCES)) + "|")
    for name in args.networks:
        network, cells = judged.named(name), []
        for source in SOURCES.values():
            all_scores = [scores(network, rgb, source, args.quick) for _, rgb in chosen]
            psnr, ssim, *rest = np.mean(all_scores, 0)
            cell = f"{psnr:.2f} / {ssim:.4f}"
            if rest:
                cell += f" / {rest[0]:.1f} / {rest[1]:.2f}, {np.max(all_scores, 0)[4]:.0f}"
            cells.append(cell)
        print(f"| {pathlib.Path(name).stem} | " + " | ".join(cells) + " |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
