"""Procedural line art as SVG: what cel animation is made of, and none of anybody's drawings.

A drawing is a stack of shapes, each a group with an offset of its own, so that a scene can move them
against each other. Everything follows from the random generator handed in.
"""

import math


def drawing(rng, width, height):
    """An SVG document of width x height pixels."""
    defs, body = [], []
    body.append(backdrop(rng, defs, width, height))
    for _ in range(rng.randint(8, 26)):
        shape = rng.choice(SHAPES)
        body.append(shape(rng, defs, width, height))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
            f'<defs>{"".join(defs)}</defs>{"".join(body)}</svg>')


def colour(rng, dark=False):
    if dark:
        return "#%02x%02x%02x" % tuple(rng.randint(0, 70) for _ in range(3))
    level, spread = rng.randint(30, 245), rng.randint(0, 110)
    return "#%02x%02x%02x" % tuple(
        min(255, max(0, level + rng.randint(-spread, spread))) for _ in range(3))


def paint(rng, defs):
    """A flat fill, or, one time in three, a gradient."""
    if rng.random() < 0.67:
        return colour(rng)
    name = f"g{len(defs)}"
    angle = rng.random() * 2 * math.pi
    stops = "".join(f'<stop offset="{i / 2}" stop-color="{colour(rng)}"/>' for i in range(3))
    if rng.random() < 0.6:
        defs.append(f'<linearGradient id="{name}" x1="0.5" y1="0.5" x2="{0.5 + math.cos(angle):.2f}" '
                    f'y2="{0.5 + math.sin(angle):.2f}">{stops}</linearGradient>')
    else:
        defs.append(f'<radialGradient id="{name}">{stops}</radialGradient>')
    return f"url(#{name})"


def line_width(rng):
    """Of the enlarged picture: mostly 1.5 to 5 pixels, sometimes a hair or a brush."""
    return round(min(14.0, max(0.7, rng.lognormvariate(1.0, 0.5))), 2)


def stroke(rng):
    ink = colour(rng, dark=rng.random() < 0.85)
    return (f'stroke="{ink}" stroke-width="{line_width(rng)}" stroke-linejoin="round" '
            'stroke-linecap="round"')


def centre(rng, width, height):
    return rng.uniform(0, width), rng.uniform(0, height)


def backdrop(rng, defs, width, height):
    return f'<rect width="{width}" height="{height}" fill="{paint(rng, defs)}"/>'


def ring(rng, x, y, radius, n, jitter):
    turn = rng.random() * 2 * math.pi
    points = []
    for i in range(n):
        r = radius * (1 + rng.uniform(-jitter, jitter))
        a = turn + 2 * math.pi * i / n
        points.append((x + r * math.cos(a), y + r * math.sin(a)))
    return points


def closed_curve(points):
    """A smooth closed path through the points (Catmull-Rom as cubic Bezier curves)."""
    n = len(points)
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for i in range(n):
        p0, p1, p2, p3 = (points[(i + k - 1) % n] for k in range(4))
        path += (f"C{p1[0] + (p2[0] - p0[0]) / 6:.1f} {p1[1] + (p2[1] - p0[1]) / 6:.1f} "
                 f"{p2[0] - (p3[0] - p1[0]) / 6:.1f} {p2[1] - (p3[1] - p1[1]) / 6:.1f} "
                 f"{p2[0]:.1f} {p2[1]:.1f}")
    return path + "Z"


def blob(rng, defs, width, height):
    x, y = centre(rng, width, height)
    radius = rng.uniform(15, height / 2.5)
    points = ring(rng, x, y, radius, rng.randint(4, 11), rng.uniform(0.05, 0.4))
    path = closed_curve(points)
    out = f'<path d="{path}" fill="{paint(rng, defs)}" {stroke(rng)}/>'
    if rng.random() < 0.5:  # a cel shadow: the same outline, shifted, cut by the first
        name = f"c{len(defs)}"
        defs.append(f'<clipPath id="{name}"><path d="{path}"/></clipPath>')
        dx, dy = rng.uniform(-0.5, 0.5) * radius, rng.uniform(0.1, 0.5) * radius
        out += (f'<g clip-path="url(#{name})"><path d="{path}" fill="{colour(rng, True)}" '
                f'fill-opacity="{rng.uniform(0.2, 0.6):.2f}" transform="translate({dx:.1f} {dy:.1f})"/>'
                f'</g><path d="{path}" fill="none" {stroke(rng)}/>')
    return out


def polygon(rng, defs, width, height):
    x, y = centre(rng, width, height)
    points = ring(rng, x, y, rng.uniform(10, height / 3), rng.randint(3, 8), rng.uniform(0, 0.5))
    text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    edge = stroke(rng) if rng.random() < 0.7 else ""
    return f'<polygon points="{text}" fill="{paint(rng, defs)}" {edge}/>'


def tapered(rng, x, y, length, angle, bend, thick):
    """A brush stroke that swells and tapers, as a filled outline of two curves."""
    ex, ey = x + length * math.cos(angle), y + length * math.sin(angle)
    nx, ny = -math.sin(angle), math.cos(angle)
    mx, my = (x + ex) / 2 + nx * bend, (y + ey) / 2 + ny * bend
    return (f"M{x:.1f} {y:.1f}Q{mx + nx * thick:.1f} {my + ny * thick:.1f} {ex:.1f} {ey:.1f}"
            f"Q{mx - nx * thick:.1f} {my - ny * thick:.1f} {x:.1f} {y:.1f}Z")


def hair(rng, defs, width, height):
    x, y = centre(rng, width, height)
    angle, fan = rng.random() * 2 * math.pi, rng.uniform(0.1, 1.2)
    ink, spread = colour(rng, dark=True), rng.uniform(5, 120)
    path = ""
    for _ in range(rng.randint(4, 30)):
        path += tapered(rng, x + rng.uniform(-spread, spread), y + rng.uniform(-spread, spread),
                        rng.uniform(30, height / 2), angle + rng.uniform(-fan, fan),
                        rng.uniform(-60, 60), rng.uniform(0.8, 9))
    return f'<path d="{path}" fill="{ink}"/>'


def open_curves(rng, defs, width, height):
    x, y = centre(rng, width, height)
    out = ""
    for _ in range(rng.randint(1, 8)):
        points = [(x + rng.uniform(-250, 250), y + rng.uniform(-250, 250)) for _ in range(4)]
        curve = " ".join(f"{a:.1f} {b:.1f}" for a, b in points[1:])
        out += (f'<path d="M{points[0][0]:.1f} {points[0][1]:.1f}C{curve}" fill="none" '
                f'{stroke(rng)}/>')
    return out


def hatching(rng, defs, width, height):
    x, y = centre(rng, width, height)
    angle, gap = rng.random() * math.pi, rng.uniform(3, 14)
    n, length = rng.randint(5, 40), rng.uniform(20, 220)
    ux, uy = math.cos(angle), math.sin(angle)
    path = ""
    for i in range(n):
        sx, sy = x - uy * i * gap + rng.uniform(-2, 2), y + ux * i * gap + rng.uniform(-2, 2)
        path += f"M{sx:.1f} {sy:.1f}L{sx + ux * length:.1f} {sy + uy * length:.1f}"
    return f'<path d="{path}" fill="none" {stroke(rng)}/>'


def speed_lines(rng, defs, width, height):
    x, y = centre(rng, width, height)
    path = ""
    for _ in range(rng.randint(10, 60)):
        a, r = rng.random() * 2 * math.pi, rng.uniform(60, 300)
        path += tapered(rng, x + r * math.cos(a), y + r * math.sin(a), rng.uniform(100, 700), a, 0,
                        rng.uniform(0.6, 4))
    return f'<path d="{path}" fill="{colour(rng, rng.random() < 0.6)}"/>'


def eye(rng, defs, width, height):
    x, y = centre(rng, width, height)
    r = rng.uniform(8, 80)
    squash = rng.uniform(0.5, 1.4)
    ellipse = '<ellipse cx="{:.1f}" cy="{:.1f}" rx="{:.1f}" ry="{:.1f}" fill="{}" {}/>'
    out = ellipse.format(x, y, r, r * squash, "#fffdfa", stroke(rng))
    out += ellipse.format(x, y, r * 0.6, r * squash * 0.8, paint(rng, defs), stroke(rng))
    out += ellipse.format(x, y, r * 0.3, r * squash * 0.4, "#101014", "")
    out += ellipse.format(x + r * 0.25, y - r * squash * 0.3, r * 0.14, r * 0.14, "#ffffff", "")
    lash = tapered(rng, x - r * 1.1, y - r * squash * 0.6, r * 2.2, 0, -r * squash * 0.6, r * 0.16)
    return out + f'<path d="{lash}" fill="{colour(rng, True)}"/>'


LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,.!?'-"
FAMILIES = ["sans-serif", "serif", "monospace"]


def text(rng, defs, width, height):
    x, y = centre(rng, width * 0.8, height)
    words = " ".join("".join(rng.choice(LETTERS) for _ in range(rng.randint(1, 9)))
                     for _ in range(rng.randint(1, 5)))
    words = words.replace("'", "&#39;")
    outline = stroke(rng) + ' paint-order="stroke"' if rng.random() < 0.5 else ""
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-family="{rng.choice(FAMILIES)}" '
            f'font-size="{rng.uniform(14, 110):.1f}" font-weight="{rng.choice(["normal", "bold"])}" '
            f'fill="{colour(rng)}" {outline} transform="rotate({rng.gauss(0, 8):.1f} {x:.0f} {y:.0f})">'
            f'{words}</text>')


def tiles(rng, defs, width, height):
    """Windows, bricks, fences: what repeats, in a perspective of its own."""
    x, y = centre(rng, width, height)
    w, h, gap = rng.uniform(6, 70), rng.uniform(6, 70), rng.uniform(1, 14)
    fill, edge = paint(rng, defs), stroke(rng) if rng.random() < 0.6 else ""
    cells = ""
    for row in range(rng.randint(1, 8)):
        for column in range(rng.randint(2, 10)):
            cells += (f'<rect x="{column * (w + gap):.1f}" y="{row * (h + gap):.1f}" width="{w:.1f}" '
                      f'height="{h:.1f}"/>')
    return (f'<g fill="{fill}" {edge} transform="translate({x:.1f} {y:.1f}) '
            f'skewX({rng.gauss(0, 15):.1f}) rotate({rng.gauss(0, 12):.1f})">{cells}</g>')


def soft(rng, defs, width, height):
    """Light or mist: no edge at all."""
    name = f"s{len(defs)}"
    tone = colour(rng)
    defs.append(f'<radialGradient id="{name}"><stop offset="0" stop-color="{tone}" '
                f'stop-opacity="{rng.uniform(0.2, 0.9):.2f}"/><stop offset="1" stop-color="{tone}" '
                'stop-opacity="0"/></radialGradient>')
    x, y = centre(rng, width, height)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{rng.uniform(50, 500):.1f}" fill="url(#{name})"/>'


SHAPES = [blob, blob, polygon, hair, hair, open_curves, open_curves, hatching, speed_lines, eye, eye,
          text, tiles, soft]
