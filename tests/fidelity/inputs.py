"""How the inputs are made: pictures, sound, texts, fonts, colour charts."""
import array
import functools
import hashlib
import re
import struct

from files import *


# ---- making inputs ---------------------------------------------------------------------------

def picture(size="96x64", rate="25", seconds=0.6, pix="yuv420p", more=""):
    """A moving picture whose left edge tells the frame's number by its brightness."""
    number = "geq=lum='if(lt(X,12),16+mod(N*37,220),lum(X,Y))':cb='if(lt(X,12),128,cb(X,Y))'" \
             ":cr='if(lt(X,12),128,cr(X,Y))'"
    # Bilinear and 4:4:4 first, so that any size goes, odd ones too.
    graph = f"testsrc2=s=96x64:r={rate}:d={seconds},format=yuv444p,{number},scale={size.replace('x', ':')}"
    return f'-f lavfi -i "{graph},format={pix}{"," + more if more else ""}"'


def tone(pitch=440, seconds=0.6, layout="stereo", rate=48000):
    """Sound that changes all the time, so that no two packets are equal."""
    graph = f"sine=f={pitch}:b=4:d={seconds}:r={rate},aformat=channel_layouts={layout}"
    return f'-f lavfi -i "{graph},vibrato=f=7"'


X264 = "-c:v libx264 -preset veryfast -threads 1 -bf 2 -crf 16"
FFV1 = "-c:v ffv1 -level 3"
MPEG2 = "-c:v mpeg2video -q:v 2"
COPY = "-map 0 -c copy"
UNEVEN = "settb=1/1000,setpts='N*40+mod(N*N*7,31)'"
HOLE = "select='not(between(n,5,9))'"

SRT = """1
00:00:00,040 --> 00:00:00,200
First <i>line</i>

2
00:00:00,240 --> 00:00:00,400
Zweite Zeile: äöü €
and its second row

3
00:00:00,440 --> 00:00:00,560
三行目 — fin
"""

def lines(*texts):
    """One each tenth of a second."""
    return "".join(f"{n}\n00:00:00,{n}00 --> 00:00:00,{n}80\n{text}\n\n" for n, text in enumerate(texts, 1))


LAST_LINE = "1\n00:00:00,520 --> 00:00:00,560\nThe only line\n"

ASS = r"""[Script Info]
Title: Signs
ScriptType: v4.00+
PlayResX: 96
PlayResY: 64

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, \
Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, \
MarginR, MarginV, Encoding
Style: Sign,Font 3,12,&H00FFFFFF,&H000000FF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,1,0,2,5,5,5,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.04,0:00:00.20,Sign,,0,0,0,,{\pos(10,20)\fad(20,20)}Sign one
Dialogue: 1,0:00:00.08,0:00:00.40,Sign,Ann,0,0,0,,{\an8}Two at once
Dialogue: 0,0:00:00.44,0:00:00.56,Sign,,0,0,0,,{\k10}ka{\k10}ra{\k10}oke
""".replace("\\\n", "")

CHAPTERS = """;FFMETADATA1
title=The Film
artist=Somebody
comment=a comment; with a semicolon
[CHAPTER]
TIMEBASE=1/1000
START=0
END=200
title=One
[CHAPTER]
TIMEBASE=1/1000
START=200
END=440
title=Zwei: äöü
[CHAPTER]
TIMEBASE=1/1000
START=440
END=600
title=Three
"""

CHAPTERS_AT_5 = re.sub(r"(START|END)=(\d+)", lambda m: f"{m[1]}={int(m[2]) + 5000}", CHAPTERS)

TAGS_XML = """<?xml version="1.0"?>
<Tags>
  <Tag><Targets><TargetTypeValue>50</TargetTypeValue></Targets>
    <Simple><Name>DIRECTOR</Name><String>Jane Döe</String></Simple>
    <Simple><Name>MY_OWN_TAG</Name><String>kept as it is</String></Simple>
  </Tag>
</Tags>
"""


# What a file may hold, and libavformat's muxers drop, rename, shorten, or give as something else.
ODD_TAGS = {"MusicBrainz Album Id": "abc-1", "lower case": "x", "EMPTY": "", "LONG": "x" * 100000, "K" * 2000: "v",
            "TWICE": "one", "twice": "two", "A B": "1", "A_B": "2", "PART_NUMBER": "3", "LEAD_PERFORMER": "me",
            "ENCODING_TOOL": "tool", "STEREO_MODE": "nonsense", "TIMECODE": "nonsense", "CREATION_TIME": "nonsense",
            "DURATION": "00:00:09.0", "MEDIA_TYPE": "Movie", "DISC": "A1", "COMPILATION": "yes",
            "LOCATION": "here", "LANGUAGE": "deutsch", "ümläut": "ö", "BPS-eng": "12", "DURATION-eng": "00:00:09.0",
            "TITLE-eng": "english", "FOO": "a", "FOO-ger": "b", "BAR-fre": "b", "BAR": "a"}


def tags_xml(tags):
    def simple(key, value):
        name, _, language = key.partition("-")
        more = f"<TagLanguage>{language}</TagLanguage>" if language else ""
        return f"<Simple><Name>{name}</Name><String>{value}</String>{more}</Simple>"
    rows = "".join(simple(*tag) for tag in tags.items())
    return f'<?xml version="1.0"?><Tags><Tag><Targets/>{rows}</Tag></Tags>'


def pgs_segment(ms, kind, data):
    return b"PG" + struct.pack(">IIBH", ms * 90, 0, kind, len(data)) + data


def pgs_picture(ms, colour):
    """A block of one colour at `ms`, as Blu-ray discs hold it."""
    line = bytes([0, 0x80 | 32, colour, 0, 0])
    rle = line * 16
    return b"".join((
        pgs_segment(ms, 0x16, struct.pack(">HHBHBBBBHBBHH", 96, 64, 16, ms, 0x80, 0, 0, 1, 0, 0, 0, 32, 40)),
        pgs_segment(ms, 0x17, struct.pack(">BBHHHH", 1, 0, 32, 40, 32, 16)),
        pgs_segment(ms, 0x14, bytes([0, 0, 1, 235, 128, 128, 255, 2, 120, 90, 200, 255])),
        pgs_segment(ms, 0x15, struct.pack(">HBB", 0, 0, 0xC0) + (len(rle) + 4).to_bytes(3, "big")
                    + struct.pack(">HH", 32, 16) + rle),
        pgs_segment(ms, 0x80, b"")))


def pgs_nothing(ms):
    return b"".join((pgs_segment(ms, 0x16, struct.pack(">HHBHBBBB", 96, 64, 16, ms, 0, 0, 0, 0)),
                     pgs_segment(ms, 0x17, struct.pack(">BBHHHH", 1, 0, 32, 40, 32, 16)),
                     pgs_segment(ms, 0x80, b"")))


PGS = pgs_picture(40, 1) + pgs_nothing(200) + pgs_picture(280, 2) + pgs_nothing(440)


def font(number):
    """Not a font, but nobody looks inside."""
    return b"\0\1\0\0" + hashlib.sha256(b"%d" % number).digest() * (number + 1)


FONTS = {f"Font {n}.ttf": font(n) for n in range(20)}


def attach(names, mime="application/x-truetype-font"):
    return " ".join(f'-attach "{name}" -metadata:s:t:{n} mimetype={mime}' for n, name in enumerate(names))


def replace(source, target, *pairs):
    """Other bytes, as many, in the place of some."""
    def make(work):
        data = (work / source).read_bytes()
        for old, new in pairs:
            if data.count(old) != 1 or len(old) != len(new):
                raise Broken(f"{source} has {data.count(old)} times {old}")
            data = data.replace(old, new)
        (work / target).write_bytes(data)
    return make


def silence(source, target, *pids):
    """A transport stream that announces streams whose packets never come."""
    def make(work):
        data = (work / source).read_bytes()
        packets = [data[i:i + 188] for i in range(0, len(data), 188)]
        kept = [p for p in packets if struct.unpack(">H", p[1:3])[0] & 0x1FFF not in pids]
        (work / target).write_bytes(b"".join(kept))
    return make


def add_captions(source, target, begin=0):
    """Puts CEA-608 captions into every access unit of an H.264 elementary stream, from the one of that number on."""
    # Pop-on captions: resume loading, address of row 15, text, end of caption; each code is sent twice.
    codes = [0x9420, 0x9420, 0x9470, 0x9470]
    text = b"HELLO CAPTION "
    codes += [int.from_bytes(bytes(parity(c) for c in text[i:i + 2]), "big") for i in range(0, len(text), 2)]
    codes += [0x942F, 0x942F]

    def make(work):
        units = re.split(rb"\x00\x00\x00?\x01", (work / source).read_bytes())[1:]
        queue = list(codes)
        out, pictures = [], 0
        for unit in units:
            # The first slice of a picture begins with first_mb_in_slice 0, coded as a single 1 bit.
            if unit[0] & 31 in (1, 5) and unit[1] & 0x80:
                pictures += 1
                if pictures > begin:
                    out.append(caption_sei(queue.pop(0) if queue else 0x8080))
            out.append(unit)
        (work / target).write_bytes(b"".join(b"\0\0\0\1" + unit for unit in out))
    return make


def parity(code):
    return code | (0x80 if bin(code).count("1") % 2 == 0 else 0)


def caption_sei(code):
    data = b"\xb5\x00\x31GA94\x03" + bytes([0x40 | 1, 0xFF, 0xFC, code >> 8, code & 255, 0xFF])
    return bytes([6, 4, len(data)]) + data + b"\x80"


# ---- colour charts ---------------------------------------------------------------------------

KR_KB = {"smpte170m": (0.299, 0.114), "bt709": (0.2126, 0.0722), "bt2020nc": (0.2627, 0.0593)}
PATCHES = [(r, g, b) for r in (0, 255) for g in (0, 255) for b in (0, 255)] + [
    (40, 80, 120), (200, 150, 100), (128, 128, 128), (64, 64, 64), (192, 32, 96), (20, 200, 180),
    (250, 240, 230), (10, 20, 15), (90, 60, 200), (180, 220, 40), (230, 120, 20), (60, 140, 60),
    (150, 90, 150), (100, 100, 20), (30, 30, 90), (210, 190, 210)]
GREYS = [round(n * 255 / 47) for n in range(48)]


def to_yuv(rgb, matrix, full, depth):
    kr, kb = KR_KB[matrix]
    r, g, b = (v / 255 for v in rgb)
    luma = kr * r + (1 - kr - kb) * g + kb * b
    cb, cr = (b - luma) / (2 * (1 - kb)), (r - luma) / (2 * (1 - kr))
    top, one = (1 << depth) - 1, 1 << (depth - 8)
    if full:
        return round(luma * top), clip(round(cb * top) + (128 * one), top), clip(round(cr * top) + 128 * one,
                                                                                 top)
    return tuple(round(v * one) for v in (16 + 219 * luma, 128 + 224 * cb, 128 + 224 * cr))


def clip(value, top):
    return max(0, min(top, value))


@functools.cache
def chart_fields():
    """(x, y, width, rgb) of each patch of a 96x96 picture: 24 colours of 16x16, 48 greys of 8x8."""
    colours = [(n % 6 * 16, n // 6 * 16, 16, rgb) for n, rgb in enumerate(PATCHES)]
    return colours + [(n % 12 * 8, 64 + n // 12 * 8, 8, (v, v, v)) for n, v in enumerate(GREYS)]


def chart(matrix, full, depth):
    """Writes chart.yuv: two pictures of 96x96, 4:2:0."""
    def make(work):
        planes = [[0] * 96 * 96, [0] * 48 * 48, [0] * 48 * 48]
        for x, y, side, rgb in chart_fields():
            for plane, value in enumerate(to_yuv(rgb, matrix, full, depth)):
                half = 2 if plane else 1
                for row in range(y // half, (y + side) // half):
                    start = row * (96 // half) + x // half
                    planes[plane][start:start + side // half] = [value] * (side // half)
        kind = "B" if depth == 8 else "H"
        data = b"".join(array.array(kind, plane).tobytes() for plane in planes)
        (work / "chart.yuv").write_bytes(data * 2)
    return make


def ramp(pix):
    """Writes ramp.raw, packed or nv12: two pictures of 256x32, whose luma has all 256 values and whose chroma is flat."""
    def make(work):
        if pix in ("yuyv422", "uyvy422"):
            pairs = [(x, 64, x + 1, 192) if pix[0] == "y" else (64, x, 192, x + 1) for x in range(0, 256, 2)]
            frame = bytes(v for pair in pairs for v in pair) * 32
        else:
            frame = bytes([*range(256)] * 32 + [64, 192] * (128 * 16))
        (work / "ramp.raw").write_bytes(frame * 2)
    return make


def check_ramp(job):
    """Full range in, full range out; the dither may move a value by 1."""
    raw = must(["ffmpeg", "-v", "error", "-i", job.output, "-frames:v", "1", "-f", "rawvideo", "-"]).stdout
    values = array.array("H", raw)
    luma, chroma = values[512 * 32:512 * 33:2], values[512 * 64 + 256 * 8 + 128]
    wrong = [x for x in range(256) if abs(luma[x] - x * 1023 / 255) > 1.5]
    problems = [f"{len(wrong)} of 256 values differ: {wrong[0]} is {luma[wrong[0]]}"] if wrong else []
    return problems + ([] if abs(chroma - 256) <= 2 else [f"chroma is {chroma}"])


def samples(path, pix, width, height):
    """The planes of the first picture, as numbers."""
    raw = run(["ffmpeg", "-v", "error", "-i", path, "-frames:v", "1", "-sws_flags",
               "accurate_rnd+full_chroma_int+full_chroma_inp", "-pix_fmt", pix, "-f", "rawvideo", "-"]).stdout
    values = array.array("H" if "10" in pix else "B", raw)
    if pix == "rgb24":
        return [values[c::3] for c in range(3)], (1, 1, 1)
    luma, chroma = width * height, width * height // 4
    return [values[:luma], values[luma:luma + chroma], values[luma + chroma:]], (1, 2, 2)


def at_centre(planes, width, x, y):
    values, parts = planes
    return tuple(plane[(y // part) * (width // part) + x // part] for plane, part in zip(values, parts))


def check_chart(full, depth):
    """Each patch is, at its centre, what it was: in YCbCr and as ffmpeg shows it."""
    def check(job):
        problems = []
        pix_in, pix_out = "yuv420p" if depth == 8 else "yuv420p10le", "yuv420p10le"
        step = 1 if depth == 10 else (1023 / 255 if full else 4)
        neutral = 512 - 128 * step if full and depth == 8 else 0
        for kind, formats, limit in (("yuv", (pix_in, pix_out), step), ("rgb", ("rgb24", "rgb24"), 1)):
            before = samples(job.input, formats[0], 96, 96)
            after = samples(job.output, formats[1], 192, 192)
            for x, y, side, rgb in chart_fields():
                was = at_centre(before, 96, x + side // 2, y + side // 2)
                now = at_centre(after, 192, 2 * x + side, 2 * y + side)
                if kind == "yuv":
                    was = tuple(v * step + (neutral if plane else 0) for plane, v in enumerate(was))
                worst = max(abs(a - b) for a, b in zip(was, now))
                if worst > limit + 1e-6:
                    problems.append(f"patch {rgb}, {kind}: was {was}, now {now}")
        return problems
    return check
