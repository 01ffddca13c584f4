"""The pictures that networks are judged by (pictures.json): of packages that nothing was trained on.
Choices are made on those for validation; the hold-out is for the last table alone."""

import json
import pathlib

import numpy as np
from PIL import Image

import scenes
import sources


def found(unpacked, name):
    """The path of "PACKAGE/…/FILE": the first in the package that ends so."""
    package, rest = name.split("/", 1)
    ends = [p for p in sorted(pathlib.Path(unpacked, package).rglob("*"))
            if str(p).endswith("/" + rest) and p.is_file()]
    if not ends:
        raise SystemExit(f"{name} isn't among the unpacked packages")
    return ends[0]


def opened(path):
    if path.suffix in (".svg", ".svgz"):
        return scenes.render(path, 720)
    image = Image.open(path).convert("RGBA")
    if min(image.size) >= 1200:  # photographs of 2000 pixels: as sharp as a frame
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    return image


def picture(unpacked, entry):
    """RGB, uint8, even sizes, at most 1280x720 of the middle."""
    back = opened(found(unpacked, entry["picture"]))
    sheet = Image.new("RGBA", back.size, "#d8dee6")
    sheet.alpha_composite(back)
    if "before" in entry:
        who = opened(found(unpacked, entry["before"]))
        sheet.alpha_composite(who, ((sheet.width - who.width) // 2, sheet.height - who.height))
    width, height = min(1280, sheet.width) // 2 * 2, min(720, sheet.height) // 2 * 2
    left, top = (sheet.width - width) // 2, (sheet.height - height) // 2
    return np.asarray(sheet.crop((left, top, left + width, top + height)).convert("RGB"))


def every(unpacked, roles):
    """(name, picture) of each whose package has one of the roles."""
    entries = json.loads((pathlib.Path(__file__).parent / "pictures.json").read_text())
    for entry in entries:
        if entry["picture"].split("/")[0] in sources.packages(*roles):
            yield entry["picture"], picture(unpacked, entry)
