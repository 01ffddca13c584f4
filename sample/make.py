#!/usr/bin/env python3
"""Draws clip.mkv anew: two seconds of 640x360 at 24 frames a second, H.264, with three tones. In the first shot
docs/picture/drawing.svg speaks and blinks before clouds that move; in the second a drawing of train/lineart.py
pans behind another and letters. Figures move on twos and hold, as in cel animation. Nothing in it is anybody
else's. Needs rsvg-convert and ffmpeg.

    sample/make.py [FILE]"""
import pathlib
import random
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "train"))
import lineart

WIDTH, HEIGHT, RATE = 640, 360, 24
CUT, FRAMES = 28, 48
SEED = 5  # of the second shot
FACE = (HERE.parent / "docs/picture/drawing.svg").read_text()
CLOUDS = '<g fill="#fff" opacity=".9">'
MOUTH = '<path d="M298 250 q22 16 44 0" fill="none"/>'
OPEN = '<path d="M302 248 q20 -6 38 0 q-4 22 -19 22 q-15 0 -19 -22 Z" fill="#8a2f3c"/>'
HALF = '<path d="M300 249 q22 -4 42 0 q-8 12 -21 12 q-13 0 -21 -12 Z" fill="#8a2f3c"/>'
SPEECH = [MOUTH, HALF, OPEN, HALF, OPEN, MOUTH, OPEN, HALF]
BLINK = {9, 10}  # drawings
EYES = '<path d="M262 190', '<path d="M332 188'  # from the whites to the lids
SHINE = '<g fill="#fff"><circle cx="279"'
CLOSED = '<path d="M258 200 q26 14 50 0 M332 200 q26 14 52 0" fill="none" stroke-width="5"/>'


def replaced(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


def exchanged(text, first, last, new):
    """With `new` for what stands from `first` to the end of the line of `last`."""
    begin = text.index(first)
    return text[:begin] + new + text[text.index("\n", text.index(last, begin)):]


def face(frame):
    drawing = frame // 2
    svg = replaced(FACE, CLOUDS, f'{CLOUDS[:-1]} transform="translate({frame * 0.75:.2f} 0)">')
    svg = replaced(svg, MOUTH, SPEECH[drawing % len(SPEECH)])
    if drawing in BLINK:
        svg = exchanged(svg, *EYES, CLOSED)
        svg = exchanged(svg, SHINE, SHINE, "")
    return svg


def title(frame):
    """A picture that pans by two samples a frame, and before it a figure that moves in every second."""
    rng, passed = random.Random(SEED), frame - CUT
    back = replaced(lineart.drawing(rng, WIDTH + 64, HEIGHT), "<svg ", f'<svg x="{-2 * passed}" ')
    defs = [""] * 1000  # or its names would be the other's, which count them
    figure = lineart.blob(rng, defs, 200, 200) + lineart.eye(rng, defs, 200, 200)
    step = passed // 2
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}">'
            f'{back}<defs>{"".join(defs)}</defs>'
            f'<g transform="translate({60 + 18 * step} {90 - 4 * step})">{figure}</g>'
            '<g font-family="sans-serif" font-weight="bold" stroke-linejoin="round" paint-order="stroke">'
            '<text x="40" y="70" font-size="44" fill="#fff4d8" stroke="#20182c" stroke-width="7">kizuna</text>'
            '<text x="40" y="330" font-size="16" fill="#fff" stroke="#20182c" stroke-width="4">'
            'Two seconds, drawn by a program.</text></g></svg>')


def main():
    target = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "clip.mkv").resolve()
    with tempfile.TemporaryDirectory() as work:
        for frame in range(FRAMES):
            svg = face(frame) if frame < CUT else title(frame)
            subprocess.run(["rsvg-convert", "-w", str(WIDTH), "-h", str(HEIGHT), "-o", f"{work}/{frame:02}.png"],
                           input=svg.encode(), check=True)
        tones = "+".join(f"0.2*gte(t\\,{at})*sin(2*PI*{hertz}*t)*exp(-3*(t-{at}))"
                         for at, hertz in ((0, 440), (0.6, 554.37), (1.2, 659.26)))
        subprocess.run(
            ["ffmpeg", "-v", "error", "-y", "-framerate", str(RATE), "-i", f"{work}/%02d.png",
             "-f", "lavfi", "-i", f"aevalsrc={tones}:s=24000:d={FRAMES / RATE}",
             "-vf", "scale=out_color_matrix=bt709:out_range=limited,format=yuv420p", "-color_range", "tv",
             "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
             "-c:v", "libx264", "-preset", "slow", "-crf", "20", "-c:a", "flac",
             "-fflags", "+bitexact", "-flags:a", "+bitexact", str(target)], check=True)


if __name__ == "__main__":
    main()
