#!/usr/bin/env python3
"""Nothing is lost: files of every kind go through `kizuna upscale` with a network that only copies,
and what comes out is compared stream by stream, by ffprobe, ffmpeg and mkvmerge, with what went in.

    tests/fidelity.py build/release/kizuna [--only REGEX] [--jobs N] [--keep DIR]

Prints TAP, and before the plan a table of all cases. Needs Debian's ffmpeg and mkvtoolnix."""
import argparse
import array
import concurrent.futures
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback
from fractions import Fraction

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIMIT_S = 120
FAST = ["-m", "./copy.param", "-s", "2", "--progress", "off"]
MATROSKA = (".mkv", ".webm")
TRANSPORT = (".ts", ".m2ts")
ISO = (".mp4", ".m4v", ".mov")


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


def add_captions(source, target):
    """Puts CEA-608 captions into every access unit of an H.264 elementary stream."""
    # Pop-on captions: resume loading, address of row 15, text, end of caption; each code is sent twice.
    codes = [0x9420, 0x9420, 0x9470, 0x9470]
    text = b"HELLO CAPTION "
    codes += [int.from_bytes(bytes(parity(c) for c in text[i:i + 2]), "big") for i in range(0, len(text), 2)]
    codes += [0x942F, 0x942F]

    def make(work):
        units = re.split(rb"\x00\x00\x00?\x01", (work / source).read_bytes())[1:]
        queue = list(codes)
        out = []
        for unit in units:
            # The first slice of a picture begins with first_mb_in_slice 0, coded as a single 1 bit.
            if unit[0] & 31 in (1, 5) and unit[1] & 0x80:
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


# ---- looking at files ------------------------------------------------------------------------

def run(command, work=None, **more):
    return subprocess.run([str(word) for word in command], cwd=work, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT_S, **more)


class Broken(Exception):
    """A tool of the test itself failed."""


def must(command, work=None):
    done = run(command, work)
    # mkvmerge ends with 1 when it only warns.
    if done.returncode > (1 if "mkv" in str(command[0]) else 0):
        raise Broken(f"{shlex.join(map(str, command))}: {text_of(done.stdout + done.stderr)[-600:]}")
    return done


def text_of(data):
    return data.decode("utf-8", "replace")


def fraction(value):
    """ffprobe's "N/A", "0:1", "1/25" and 7."""
    if value in (None, "N/A", ""):
        return None
    top, _, bottom = str(value).replace(":", "/").partition("/")
    return Fraction(int(top), int(bottom)) if bottom not in ("", "0") else (None if bottom else Fraction(top))


class File:
    """What ffprobe says of a file."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        show = ["-show_streams", "-show_format", "-show_chapters", "-show_packets", "-show_data_hash", "md5"]
        done = must(["ffprobe", "-v", "error", *show, "-of", "json", "file:" + str(path)])
        self.noise = text_of(done.stderr)
        self.data = json.loads(done.stdout)
        self.streams = self.data["streams"]
        self.packets = [[] for _ in self.streams]
        for packet in self.data.get("packets", []):
            # Some encoders end with an empty packet that only carries a new header.
            if int(packet["size"]):
                self.packets[packet["stream_index"]].append(packet)
        self.main = self.choose_main()
        self.frames = self.read_frames()

    def choose_main(self):
        """The largest of the videos that aren't pictures."""
        videos = [s for s in self.streams if kind_of(s) == "video"]
        default = lambda s: s["disposition"]["default"]
        return max(videos, key=lambda s: (s["width"] * s["height"], default(s), -s["index"]))["index"]

    def read_frames(self):
        done = must(["ffprobe", "-v", "error", "-select_streams", self.main, "-show_frames", "-of", "json",
                     "file:" + str(self.path)])
        self.noise += text_of(done.stderr)
        return json.loads(done.stdout).get("frames", [])

    @property
    def video(self):
        return self.streams[self.main]

    def base(self, index):
        return fraction(self.streams[index]["time_base"])

    def frame_times(self):
        return [int(f["best_effort_timestamp"]) * self.base(self.main) if "best_effort_timestamp" in f
                else None for f in self.frames]

    @property
    def origin(self):
        """Everything is told from the first picture on."""
        return next((t for t in self.frame_times() if t is not None), Fraction(0))

    def packet_times(self, index):
        base = self.base(index)
        return [int(p["pts"]) * base - self.origin if "pts" in p else None for p in self.packets[index]]

    def others(self):
        return [s for s in self.streams if s["index"] != self.main and not is_chapter_track(s)]

    def side(self, name):
        """Side data by the start of its name, of the first picture or else the stream."""
        for place in (self.frames[:1] or [{}])[0], self.video:
            for side in place.get("side_data_list", []):
                if side["side_data_type"].startswith(name):
                    return {k: fraction(v) for k, v in side.items()
                            if k != "side_data_type" and k != "displaymatrix"}
        return None


def kind_of(stream):
    if stream["disposition"].get("attached_pic"):
        return "cover"
    return stream.get("codec_type", "data")


def is_chapter_track(stream):
    """MP4's own way to hold chapters' titles."""
    return kind_of(stream) == "data" and stream.get("codec_tag_string") == "text"


def name_of(stream):
    return f"stream {stream['index']} ({stream.get('codec_name', 'none')})"


def open_stream(path, index):
    return ["ffmpeg", "-v", "error", "-copyts", "-i", "file:" + str(path), "-map", f"0:{index}"]


# How to get at the luma of what isn't planar.
PLANAR = {"nv12": "yuv420p", "p010le": "yuv420p10le", "yuyv422": "yuv422p", "uyvy422": "yuv422p"}


def luma_filters(pix):
    """As numbers, whatever the range: that is told by tags alone."""
    if pix in RGB:
        return f"scale=out_color_matrix=bt709:out_range=tv,format=yuv444p{'10le' if '10' in pix else ''},"
    return f"format={PLANAR.get(pix, pix)},"


def pictures(file, width=24, height=16):
    """Every picture's luma, made small and turned as ffmpeg would show it, in units of 8 bit."""
    pix = file.video["pix_fmt"]
    graph = f"{luma_filters(pix)}extractplanes=y,setrange=full,scale={width}:{height}:flags=area"
    raw = must([*open_stream(file.path, file.main), "-vf", graph, "-vsync", "passthrough", "-f", "rawvideo",
                "-"]).stdout
    unit = next((unit for name, unit in (("10", 4), ("12", 16)) if name + "le" in pix), 1)
    values = array.array("B" if unit == 1 else "H", raw)
    size = width * height
    return [[v / unit for v in values[i:i + size]] for i in range(0, len(values), size)]


def fine_pictures(job):
    """Line by line, for what is about fields: beyond the ends, where there is but one neighbour."""
    was, now = (pictures(file, 48, 64)[1:-1] for file in (job.reference, job.after))
    return [f"picture {n + 1} differs by {mean_difference(a, b):.1f} of 255, line by line"
            for n, (a, b) in enumerate(zip(now, was)) if mean_difference(a, b) > 3]


def mean_difference(a, b):
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)


# ---- the payload of a copied stream ----------------------------------------------------------

def packets_of(file, index):
    return [(p["size"], p["data_hash"]) for p in file.packets[index]]


def decoded_of(file, index):
    """What comes out of the decoder, for where containers want other packets of the same data."""
    kind = kind_of(file.streams[index])
    form = ["-vsync", "passthrough"] if kind == "video" else ["-c:a", "pcm_f32le"]
    return [text_of(must([*open_stream(file.path, index), *form, "-f", "md5", "-"]).stdout)]


def joined_of(file, index):
    """All bytes in a row, however they were cut into packets."""
    return [hashlib.md5(must([*open_stream(file.path, index), "-c", "copy", "-f", "data",
                              "-"]).stdout).hexdigest()]


def adts_of(file, index):
    """AAC without the headers that only some containers want; packet by packet."""
    data = must([*open_stream(file.path, index), "-c", "copy", "-f", "adts", "-"]).stdout
    payloads = []
    while data:
        size = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        header = 7 if data[1] & 1 else 9
        payloads.append(hashlib.md5(data[header:size]).hexdigest())
        data = data[size:]
    return payloads


def text_lines(file, index):
    """(start, end, text) of each line of a text subtitle, as ffmpeg reads it."""
    done = must([*open_stream(file.path, index), "-f", "srt", "-"])
    blocks = re.split(r"\n\n+(?=\d+\n)", text_of(done.stdout).replace("\r", "").strip())
    lines = [block.split("\n", 2)[1:] for block in blocks if block]
    return [(*[seconds(t) - file.origin for t in times.split(" --> ")], plain(text[0] if text else ""))
            for times, *text in lines]


def plain(text):
    """Fonts and sizes are what a converter may add."""
    return re.sub(r"</?font[^>]*>|\{\\an\d\}", "", text).strip()


def seconds(text):
    hours, minutes, rest = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + Fraction(rest.replace(",", "."))


FORMS = {"packets": packets_of, "decoded": decoded_of, "joined": joined_of, "adts": adts_of}


def form_of(stream, before, after):
    """How to compare: packet by packet, unless the containers differ in how they cut or frame it."""
    codec = stream.get("codec_name")
    moved = (before.suffix in TRANSPORT) != (after.suffix in TRANSPORT)
    if codec == "mov_text":
        return "text"
    if codec == "aac" and moved:
        return "adts"
    if codec in ("h264", "hevc") and kind_of(stream) == "video":
        return "decoded"
    if codec == "hdmv_pgs_subtitle" and moved:
        return "joined"
    if codec and codec.startswith("pcm_") and after.suffix in ISO:
        return "decoded"
    return "packets"


# ---- cases -----------------------------------------------------------------------------------

@dataclasses.dataclass
class Case:
    name: str
    make: list                # ffmpeg's arguments, "mkvmerge …", "mkvpropedit …" or a function of the folder
    source: str = "in.mkv"
    out: str = "out.mkv"      # "": kizuna's own choice, which has to be `default`
    default: str = ""
    options: str = ""
    files: dict = dataclasses.field(default_factory=dict)
    encoder: str = "libx265"
    pix: str = ""             # "": by PIX_OUT
    size: str = ""            # "": twice the input's, even
    dropped: tuple = ()       # the input's streams that aren't to be there
    refused: tuple = None     # the input's streams that kizuna has to name and refuse
    forms: dict = dataclasses.field(default_factory=dict)    # instead of form_of()
    codecs: dict = dataclasses.field(default_factory=dict)   # input stream to another codec, where converted
    colour: dict = dataclasses.field(default_factory=dict)   # instead of the input's
    lost_tags: tuple = ()     # keys the output container has no place for
    lost_flags: tuple = ()    # dispositions, likewise
    same: str = ""            # a file like the input, where the input can't be looked at
    reference: str = ""       # a file with the pictures and times expected, instead of the input
    turned: bool = False      # the display matrix is applied, not kept
    sar: str = ""             # instead of the input's
    slack: Fraction = Fraction(0)  # seconds by which sound and chapters may lie elsewhere
    checks: tuple = ()        # more functions of a Job


PIX_OUT = {"yuv420p": "yuv420p10le", "yuvj420p": "yuv420p10le", "nv12": "yuv420p10le",
           "p010le": "yuv420p10le", "yuv420p10le": "yuv420p10le", "yuv420p12le": "yuv420p12le",
           "yuva420p": "yuv420p10le", "yuv422p": "yuv422p10le", "yuvj422p": "yuv422p10le",
           "yuyv422": "yuv422p10le", "uyvy422": "yuv422p10le", "yuv422p10le": "yuv422p10le",
           "yuv422p12le": "yuv422p12le", "yuv411p": "yuv422p10le", "yuv410p": "yuv420p10le",
           "yuv440p": "yuv444p10le", "yuv444p": "yuv444p10le", "yuvj444p": "yuv444p10le",
           "yuv444p10le": "yuv444p10le", "yuv444p12le": "yuv444p12le", "gray": "gray10le",
           "gray10le": "gray10le", "gray12le": "gray12le", "gbrp": "yuv444p10le", "rgb24": "yuv444p10le",
           "bgr24": "yuv444p10le", "bgr0": "yuv444p10le", "gbrp10le": "yuv444p12le", "pal8": "yuv444p10le"}
RGB = ("gbrp", "rgb24", "bgr24", "bgr0", "gbrp10le", "pal8")
CODEC = {"libx265": "hevc", "ffv1": "ffv1", "libx264": "h264"}


@dataclasses.dataclass
class Job:
    """A case on its way."""
    case: Case
    work: pathlib.Path
    kizuna: str
    before: File = None
    after: File = None
    reference: File = None
    problems: list = dataclasses.field(default_factory=list)
    log: str = ""

    @property
    def input(self):
        return self.work / self.case.source

    @property
    def output(self):
        return self.work / (self.case.out or self.case.default)


# ---- comparing -------------------------------------------------------------------------------

def same(what, now, expected):
    return [] if now == expected else [f"{what}: {now}, expected {expected}"]


def close(what, now, expected, limit):
    """Lists of times; None is no time at all."""
    if len(now) != len(expected):
        return [f"{what}: {len(now)} times, expected {len(expected)}"]
    for n, (a, b) in enumerate(zip(now, expected)):
        if (a is None) != (b is None) or (a is not None and abs(a - b) > limit):
            show = lambda t: "none" if t is None else f"{float(t):.6f}"
            return [f"{what}: number {n} at {show(a)}, expected {show(b)} ± {float(limit):.6f}"]
    return []


def ticks(job, before_index, after_index, before=None):
    before = before or job.before
    return before.base(before_index) + job.after.base(after_index)


def even(value):
    return value + value % 2


def expected_size(job):
    if job.case.size:
        return tuple(map(int, job.case.size.split("x")))
    width, height = job.before.video["width"], job.before.video["height"]
    if job.case.turned and abs(job.before.side("Display Matrix")["rotation"]) == 90:
        width, height = height, width
    return even(2 * width), even(2 * height)


def check_video(job):
    case, now, was = job.case, job.after.video, job.before.video
    problems = same("codec", now["codec_name"], CODEC[case.encoder])
    problems += same("size", (now["width"], now["height"]), expected_size(job))
    problems += same("pixel format", now["pix_fmt"], case.pix or PIX_OUT[was["pix_fmt"]])
    sar = fraction(case.sar) if case.sar else fraction(was.get("sample_aspect_ratio")) or 1
    problems += same("sample aspect ratio", fraction(now.get("sample_aspect_ratio")) or 1, sar)
    interlaced = [n for n, f in enumerate(job.after.frames) if f["interlaced_frame"]]
    if "--deinterlace off" not in case.options and interlaced:
        problems.append(f"frames {interlaced} are flagged as interlaced")
    return problems


COLOUR = ("color_space", "color_primaries", "color_transfer", "color_range", "chroma_location")


def colour_of(file):
    """Tags as the decoder sees them; what stands for "not told" made equal."""
    found = {}
    frame = (file.frames or [{}])[0]
    for key in COLOUR:
        value = frame.get(key, file.video.get(key))
        found[key] = None if value in (None, "unknown", "unspecified", "reserved") else value
    # A decoder says "tv" of what isn't told, and "left" for 4:2:0. Grey is full where nothing is told.
    found["color_range"] = found["color_range"] or ("pc" if "gray" in file.video["pix_fmt"] else "tv")
    subsampled = "420" in file.video["pix_fmt"] or file.video["pix_fmt"] in ("nv12", "p010le")
    found["chroma_location"] = (found["chroma_location"] or "left") if subsampled else None
    return found


def check_colour(job):
    expected = colour_of(job.before)
    if job.before.video["pix_fmt"] in RGB:
        expected.update(color_space="bt709", color_range="tv", chroma_location=None)
    expected.update(job.case.colour)
    now = colour_of(job.after)
    return [problem for key in COLOUR for problem in same(key, now[key], expected[key])]


def check_side(job):
    problems = []
    for name in ("Mastering display", "Content light"):
        was, now = job.before.side(name), job.after.side(name)
        problems += same(name, now, was)
    was = None if job.case.turned else job.before.side("Display Matrix")
    return problems + same("display matrix", job.after.side("Display Matrix"), was)


def check_frames(job):
    expected = job.reference or job.before
    count, now = len(expected.frames), len(job.after.frames)
    if now != count or not count:
        return [f"{now} frames, expected {count}"]
    start = lambda file: [None if t is None else t - file.origin for t in file.frame_times()]
    limit = ticks(job, expected.main, job.after.main, expected)
    return close("frames", start(job.after), start(expected), limit)


def check_pictures(job):
    expected = job.reference or job.before
    was, now = pictures(expected), pictures(job.after)
    if len(was) != len(now):
        return [f"{len(now)} pictures, expected {len(was)}"]
    for n, (a, b) in enumerate(zip(now, was)):
        if mean_difference(a, b) > 5:
            nearest = min(range(len(was)), key=lambda k: mean_difference(a, was[k]))
            return [f"picture {n} differs by {mean_difference(a, b):.1f} of 255; nearest is {nearest}"]
    return []


def kept_streams(job):
    return [s for s in job.before.others() if s["index"] not in job.case.dropped]


def grouped(streams):
    """Containers have their own order of kinds, not of streams within one."""
    groups = {}
    for stream in streams:
        groups.setdefault(kind_of(stream), []).append(stream)
    return groups


def pairs(job):
    was, now = grouped(kept_streams(job)), grouped(job.after.others())
    return [pair for kind in was for pair in zip(was[kind], now.get(kind, []))]


def check_counts(job):
    count = lambda streams: {kind: len(part) for kind, part in grouped(streams).items()}
    problems = same("other streams", count(job.after.others()), count(kept_streams(job)))
    order = lambda file, streams: [kind_of(s) for s in streams if kind_of(s) not in ("cover", "attachment")]
    was = [s for s in job.before.streams if s["index"] == job.before.main or s in kept_streams(job)]
    now = [s for s in job.after.streams if not is_chapter_track(s)]
    return problems + same("order of kinds", order(job.after, now), order(job.before, was))


DESCRIBING = ("codec_name", "profile", "sample_rate", "channels", "channel_layout", "width", "height",
              "pix_fmt")


def check_stream(job, was, now):
    what = name_of(was)
    problems = []
    expected = dict(was)
    if was["index"] in job.case.codecs:
        expected["codec_name"] = job.case.codecs[was["index"]]
    for key in DESCRIBING:
        # Only sound and pictures: what a subtitle's picture size is, demuxers guess.
        # Matroska has no place for the layout of PCM: the usual one for so many channels holds.
        unknown = key == "channel_layout" and key not in now and job.output.suffix == ".mkv"
        if (kind_of(was) in ("audio", "video", "cover") and not unknown) or key == "codec_name":
            problems += same(f"{what}: {key}", now.get(key), expected.get(key))
    if kind_of(was) == "attachment":
        problems += same(f"{what}: content", now.get("extradata_hash"), was.get("extradata_hash"))
        return problems
    form = job.case.forms.get(was["index"]) or form_of(was, job.input, job.output)
    if form == "text":
        return problems + check_text(job, was, now)
    return problems + check_payload(job, was, now, form)


def check_payload(job, was, now, form):
    what = name_of(was)
    expected, found = FORMS[form](job.before, was["index"]), FORMS[form](job.after, now["index"])
    problems = []
    if found != expected or not expected:
        first = next((n for n, (a, b) in enumerate(zip(expected, found)) if a != b),
                     min(len(expected), len(found)))
        problems = [f"{what}: {len(found)} {form}, expected {len(expected)}; the first to differ: {first}"]
    if kind_of(was) == "cover":
        return problems
    limit = ticks(job, was["index"], now["index"]) + job.case.slack
    was_times, now_times = job.before.packet_times(was["index"]), job.after.packet_times(now["index"])
    if form in ("packets", "adts") or (form == "decoded" and kind_of(was) == "video"):
        return problems + close(f"{what}: packets", now_times, was_times, limit)
    return problems + close(f"{what}: start", now_times[:1], was_times[:1], limit)


def check_text(job, was, now):
    what = name_of(was)
    expected, found = text_lines(job.before, was["index"]), text_lines(job.after, now["index"])
    problems = same(f"{what}: text", [l[2] for l in found], [l[2] for l in expected])
    # ASS counts in hundredths of a second, and srt in thousandths.
    limit = Fraction(1, 100) + Fraction(1, 1000)
    for part, name in ((0, "start"), (1, "end")):
        problems += close(f"{what}: {name}", [l[part] for l in found], [l[part] for l in expected], limit)
    return problems if expected else problems + [f"{what}: the input has no text"]


# Said of the file or stream as it was, or by the muxer.
UNTRUE = re.compile(r"(_STATISTICS_.*|(BPS|DURATION|NUMBER_OF_(FRAMES|BYTES))(-.*)?|encoder|major_brand|"
                    r"minor_version|compatible_brands|handler_name|vendor_id|creation_time|duration|"
                    r"software)$", re.I)


def tags_of(place):
    return {k.lower(): v for k, v in place.get("tags", {}).items() if not UNTRUE.match(k)}


def check_tags(job, what, was, now):
    problems = []
    found = tags_of(now)
    for key, value in tags_of(was).items():
        if key in job.case.lost_tags or (key == "language" and value == "und"):
            continue
        problems += same(f"{what}: tag {key}", found.get(key), value)
    if "language" in found and found["language"] != "und" and "language" not in tags_of(was):
        problems.append(f"{what}: language {found['language']} from nowhere")
    return problems


def check_flags(job, was, now):
    flags = lambda s: sorted(k for k, v in s["disposition"].items() if v and k not in job.case.lost_flags)
    return same(f"{name_of(was)}: flags", flags(now), flags(was))


def check_streams(job):
    problems = check_counts(job)
    for was, now in pairs(job):
        problems += check_stream(job, was, now)
    for was, now in pairs(job) + [(job.before.video, job.after.video)]:
        problems += check_flags(job, was, now)
        problems += check_tags(job, name_of(was), was, now)
    return problems + check_tags(job, "file", job.before.data["format"], job.after.data["format"])


def check_chapters(job):
    was, now = job.before.data["chapters"], job.after.data["chapters"]
    title = lambda c: c.get("tags", {}).get("title")
    problems = same("chapters", [title(c) for c in now], [title(c) for c in was])
    times = lambda file, key: [c[key] * fraction(c["time_base"]) - file.origin for c in file.data["chapters"]]
    limit = Fraction(2, 1000) + job.after.base(job.after.main) + job.case.slack
    for key in ("start", "end"):
        problems += close(f"chapters' {key}", times(job.after, key), times(job.before, key), limit)
    return problems


def mkvmerge(path):
    return json.loads(must(["mkvmerge", "-J", path]).stdout)


TRACK = ("language", "track_name", "default_track", "forced_track", "enabled_track", "flag_hearing_impaired",
         "flag_visual_impaired", "flag_commentary", "flag_original", "flag_text_descriptions", "codec_id",
         "audio_channels", "audio_sampling_frequency", "stereo_mode")


def check_matroska(job):
    """A second opinion that knows nothing of libav."""
    now = mkvmerge(job.output)
    problems = same("mkvmerge's complaints", now["errors"] + now["warnings"], [])
    problems += same("mkvmerge's tracks", [t["type"] for t in now["tracks"]], mkvmerge_kinds(job))
    problems += same("mkvmerge's chapters", sum(c["num_entries"] for c in now["chapters"]),
                     len(job.before.data["chapters"]))
    if job.input.suffix != ".mkv":
        return problems
    was = mkvmerge(job.input)
    files = lambda found: [(a["file_name"], a["content_type"], a["size"]) for a in found["attachments"]]
    dropped_files = any(kind_of(job.before.streams[i]) in ("attachment", "cover") for i in job.case.dropped)
    if not dropped_files:
        problems += same("mkvmerge's attachments", files(now), files(was))
    if job.case.dropped:
        return problems
    for n, (a, b) in enumerate(zip(now["tracks"], was["tracks"])):
        keys = [k for k in TRACK if not (k == "codec_id" and a["type"] == "video")]
        pick = lambda track: {k: track["properties"].get(k) for k in keys}
        problems += same(f"mkvmerge's track {n}", pick(a), pick(b))
    return problems


def mkvmerge_kinds(job):
    names = {"subtitle": "subtitles"}
    streams = [s for s in job.after.streams if kind_of(s) in ("video", "audio", "subtitle")]
    return [names.get(kind_of(s), kind_of(s)) for s in streams]


CHECKS = (check_video, check_colour, check_side, check_frames, check_pictures, check_streams, check_chapters)


def compare(job):
    if job.after.noise:
        job.problems.append(f"ffprobe complains of the output: {job.after.noise[:300]}")
    checks = CHECKS + ((check_matroska,) if job.output.suffix == ".mkv" else ()) + tuple(job.case.checks)
    for check in checks:
        job.problems += check(job)


# ---- more checks of single cases -------------------------------------------------------------

def holds(*words):
    """Guards the test itself: the input must have what the case is about."""
    def check(job):
        text = json.dumps(job.before.data["streams"], ensure_ascii=False) + json.dumps(job.before.frames)
        return [f"the input lacks {w}, so this tests nothing" for w in words if w.lower() not in text.lower()]
    return check


def irregular(job):
    times = job.before.frame_times()
    steps = {b - a for a, b in zip(times, times[1:])}
    return [] if len(steps) > 2 else ["the input's frames are evenly spaced, so this tests nothing"]


def starts_at(low, high):
    def check(job):
        start = float(job.before.origin)
        return [] if low <= start <= high else [f"the first frame is at {start}, so this tests nothing"]
    return check


def starts_at_zero(job):
    """The whole is moved to 0, as ffmpeg does."""
    start = float(job.after.data["format"]["start_time"])
    return [] if abs(start) < 0.1 else [f"the output starts at {start}"]


def steady(step):
    def check(job):
        times = job.after.frame_times()
        wrong = [n for n, (a, b) in enumerate(zip(times, times[1:])) if abs(b - a - step) > Fraction(2, 1000)]
        return [f"steps before frames {wrong} aren't {float(step):.4f} s"] if wrong else []
    return check


def captions_of(path):
    graph = f"movie={path.name}[out+subcc]"
    return text_of(run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", graph, "-map", "0:s", "-f", "srt", "-"],
                       path.parent).stdout)


def has_captions(wanted):
    def check(job):
        was = captions_of(job.input)
        problems = [] if "HELLO CAPTION" in was else [f"captions of {was!r} test nothing"]
        return problems + same("captions", captions_of(job.output), was if wanted else "")
    return check


def first_is(codec, tag):
    def check(job):
        video = job.after.video
        return same("tag", (video["codec_name"], video["codec_tag_string"]), (codec, tag))
    return check


# ---- the cases -------------------------------------------------------------------------------

# MP4 and MOV always have a default one of each kind, Matroska only where told.
DEFAULTS = "-disposition:v:0 default -disposition:a:0 default"


def simple(name, arguments, source, **more):
    """One call of ffmpeg with the picture and two tones."""
    make = [f"{picture()} {tone(440)} {tone(880, layout='mono')} -map 0 -map 1 {arguments} {source}"]
    return Case(name, make, source=source, **more)


def containers():
    """The usual ones in, kizuna's choice out; then from one to another."""
    two = "-map 2"
    return [
        simple("mkv stays mkv", f"{two} {X264} -c:a aac", "in.mkv", out="", default="in.4k.mkv"),
        simple("mp4 stays mp4", f"{two} {X264} -c:a aac", "in.mp4", out="", default="in.4k.mp4",
               checks=(first_is("hevc", "hvc1"),)),
        simple("m4v stays m4v", f"{X264} -c:a aac -f mp4", "in.m4v", out="", default="in.4k.m4v"),
        simple("mov stays mov", "-c:v prores_ks -profile:v 2 -c:a pcm_s16le", "in.mov", out="",
               default="in.4k.mov"),
        simple("ts stays ts", f"{two} {X264} -c:a aac", "in.ts", out="", default="in.4k.ts"),
        simple("m2ts stays m2ts", f"{two} {X264} -c:a ac3 -mpegts_m2ts_mode 1", "in.m2ts", out="",
               default="in.4k.m2ts"),
        simple("nut stays nut", f"{two} {FFV1} -c:a pcm_s16le", "in.nut", out="", default="in.4k.nut"),
        simple("webm (vp9, opus) becomes mkv",
               "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -crf 20 -b:v 0 "
               "-c:a libopus", "in.webm", out="", default="in.4k.mkv"),
        simple("webm (vp8, vorbis) becomes mkv", "-c:v libvpx -deadline realtime -cpu-used 8 -b:v 2M "
               "-c:a libvorbis", "in.webm", out="", default="in.4k.mkv"),
        simple("avi becomes mkv", f"{two} -c:v mpeg4 -q:v 2 -c:a mp3", "in.avi", out="", default="in.4k.mkv"),
        simple("flv (flv1, mp3) becomes mkv", "-c:v flv -q:v 2 -c:a mp3 -ar 44100", "in.flv", out="",
               default="in.4k.mkv"),
        simple("flv (h264, aac) becomes mkv", f"{X264} -c:a aac", "in.flv", out="", default="in.4k.mkv"),
        simple("ogv becomes mkv", "-c:v libtheora -q:v 9 -c:a libvorbis", "in.ogv", out="",
               default="in.4k.mkv"),
        simple("mpg becomes mkv", f"{MPEG2} -c:a mp2", "in.mpg", out="", default="in.4k.mkv"),
        simple("vob becomes mkv", f"{two} {MPEG2} -c:a ac3", "in.vob", out="", default="in.4k.mkv"),
        simple("wmv becomes mkv", "-c:v wmv2 -q:v 2 -c:a wmav2", "in.wmv", out="", default="in.4k.mkv"),
        Case("y4m becomes mkv", [f"{picture()} in.y4m"], source="in.y4m", out="", default="in.4k.mkv"),
        simple("mkv to mp4", f"{two} {X264} -c:a aac {DEFAULTS}", "in.mkv", out="out.mp4"),
        simple("mkv to mov", f"{two} {X264} -c:a aac {DEFAULTS}", "in.mkv", out="out.mov"),
        simple("mkv to ts", f"{two} {X264} -c:a aac", "in.mkv", out="out.ts", lost_flags=("default",)),
        simple("mkv to nut", f"{two} {X264} -c:a aac", "in.mkv", out="out.nut"),
        simple("mp4 to mkv", f"{two} {X264} -c:a aac", "in.mp4"),
        simple("mp4 to ts", f"{two} {X264} -c:a aac", "in.mp4", out="out.ts", lost_flags=("default",)),
        simple("mov to mp4", f"{two} {X264} -c:a alac", "in.mov", out="out.mp4"),
        simple("ts to mkv", f"{two} {X264} -c:a aac", "in.ts"),
        simple("ts to mp4", f"{two} {X264} -c:a aac", "in.ts", out="out.mp4", lost_flags=("default",)),
        simple("nut to mkv", f"{two} {FFV1} -c:a flac", "in.nut"),
        simple("avi to mp4", f"{two} -c:v mpeg4 -q:v 2 -c:a mp3", "in.avi", out="out.mp4",
               lost_flags=("default",)),
    ]


def sounds():
    inputs = f"{picture()} {tone(300, layout='5.1')} {tone(500)} {tone(700, layout='mono')}"
    dts = "-c:a:3 dca -strict -2 -b:a:3 768k"
    many = f"{X264} -map 0 -map 1 -map 2 -map 3 -map 1 -map 2"
    languages = " ".join(f"-metadata:s:a:{n} language={code} -metadata:s:a:{n} title='Sound {code}'"
                         for n, code in enumerate(("jpn", "eng", "ger", "fre", "ita")))
    return [
        Case("5.1, stereo and mono in many codecs", [
            f"{inputs} {many} -c:a:0 ac3 -c:a:1 flac -c:a:2 libopus {dts} -c:a:4 alac {languages} in.mkv"]),
        Case("more codecs of sound", [
            f"{inputs} {many} -c:a:0 eac3 -c:a:1 libvorbis -c:a:2 pcm_s24le -c:a:3 libopus -c:a:4 mp3 "
            f"{languages} in.mkv"]),
        Case("sound codecs in mp4", [
            f"{inputs} {many} -c:a:0 ac3 -c:a:1 aac -c:a:2 mp3 -c:a:3 eac3 -c:a:4 alac {languages} in.mp4"],
            source="in.mp4", out="", default="in.4k.mp4"),
        Case("flac and opus in mp4 to mkv", [
            f"{inputs} {X264} -map 0 -map 1 -map 2 -c:a:0 flac -c:a:1 libopus -strict -2 in.mp4"],
             source="in.mp4"),
        Case("surround in ts",
             [f"{inputs} {many} -c:a:0 ac3 -c:a:1 aac -c:a:2 mp2 -c:a:3 eac3 -c:a:4 mp2 in.ts"],
             source="in.ts", out="", default="in.4k.ts"),
        Case("pcm of all sorts in mov", [
            f"{inputs} {X264} -map 0 -map 1 -map 2 -map 3 -c:a:0 pcm_s16be -c:a:1 pcm_s24le -c:a:2 pcm_f32le "
            "in.mov"], source="in.mov", out="", default="in.4k.mov"),
        Case("pcm from mov to mkv", [
            f"{inputs} {X264} -map 0 -map 1 -map 2 -c:a:0 pcm_s16be -c:a:1 pcm_s24le in.mov"],
             source="in.mov"),
        Case("24 bit flac to nut", [f"{inputs} {X264} -map 0 -map 2 -c:a flac -sample_fmt s32 in.mkv"],
             out="out.nut"),
    ]


def subtitles():
    texts = {"a.srt": SRT, "b.ass": ASS, "c.srt": LAST_LINE, "p.sup": PGS}
    three = "-map 0 -map 1 -map 2 -map 3 -map 4"
    five = f"{picture()} {tone()} -i a.srt -i b.ass -i c.srt"
    words = f"{picture()} {tone()} -i a.srt -i c.srt -map 0 -map 1 -map 2 -map 3 {X264} -c:a aac " \
            "-c:s mov_text -metadata:s:s:0 language=eng -metadata:s:s:1 language=ger"
    sixty = " ".join("-map 2" for _ in range(62))
    pgs = f"{picture()} {tone()} -i p.sup -map 0 -map 1 -map 2 {X264}"
    return [
        Case("srt, ass and webvtt in mkv", [
            f"{five} {three} -map 2 {X264} -c:a aac -c:s:0 srt -c:s:1 ass -c:s:2 srt -c:s:3 webvtt "
            "-metadata:s:s:0 language=ger -metadata:s:s:1 language=jpn "
            "-metadata:s:s:1 title='Signs & Songs' in.mkv"],
            files=texts),
        Case("one line at the very end", [f"{five} -map 0 -map 1 -map 4 {X264} -c:a aac -c:s srt in.mkv"],
             files=texts),
        Case("a line long after the picture", [
            f"{picture()} -i a.srt -itsoffset 3 -i c.srt -map 0 -map 1 -map 2 {X264} -c:s srt in.mkv"],
             files=texts),
        Case("mov_text stays in mp4", [f"{words} in.mp4"], source="in.mp4", out="", default="in.4k.mp4",
             files=texts),
        Case("mov_text becomes ass in mkv", [f"{words} in.mp4"], source="in.mp4", files=texts,
             codecs={2: "ass", 3: "ass"}),
        Case("mov_text stays in mov", [f"{words} in.mov"], source="in.mov", out="", default="in.4k.mov",
             files=texts),
        Case("62 subtitles", [f"{five} -map 0 -map 1 {sixty} {X264} -c:a aac -c:s srt "
                              + " ".join(f"-metadata:s:s:{n} title=Sub{n}" for n in range(62)) + " in.mkv"],
             files=texts),
        Case("pgs in mkv", [f"{pgs} -c:a ac3 -c:s copy -metadata:s:s:0 language=eng in.mkv"], files=texts),
        Case("pgs in m2ts stays", [f"{pgs} -c:a ac3 -c:s copy -mpegts_m2ts_mode 1 in.m2ts"], source="in.m2ts",
             out="", default="in.4k.m2ts", files=texts),
        Case("pgs from m2ts to mkv", [f"{pgs} -c:a ac3 -c:s copy -mpegts_m2ts_mode 1 in.m2ts"],
             source="in.m2ts",
             files=texts),
        Case("pgs from mkv to m2ts", [f"{pgs} -c:a ac3 -c:s copy in.mkv"], out="out.m2ts", files=texts),
        # Without Blu-ray's own stream types nobody would know them again.
        Case("pgs from mkv to ts is refused", [f"{pgs} -c:a ac3 -c:s copy in.mkv"], out="out.ts", files=texts,
             refused=(2,)),
        Case("dvd subtitles in mkv", [f"{pgs} -c:a ac3 -c:s dvdsub in.mkv"], files=texts),
        # The encoder's own times go back by 1 ms here and there, which no output can keep.
        Case("dvb subtitles in ts", [f"{pgs} -c:a ac3 -c:s dvbsub -metadata:s:s:0 language=eng in.ts"],
             source="in.ts",
             out="", default="in.4k.ts", files=texts, forms={2: "joined"}),
        Case("dvb subtitles from ts to mkv", [f"{pgs} -c:a ac3 -c:s dvbsub in.ts"], source="in.ts",
             files=texts,
             forms={2: "joined"}),
        Case("webvtt in webm",
             [f"{picture()} {tone()} -i a.srt -map 0 -map 1 -map 2 -c:v libvpx -deadline realtime "
                                "-cpu-used 8 -b:v 2M -c:a libopus -c:s webvtt in.webm"], source="in.webm",
             files=texts),
    ]


def attachments():
    ass = {"b.ass": ASS}
    cover = f"{picture(size='64x64', seconds=0.04)} -frames:v 1 -pix_fmt rgb24 cover.png"
    jpeg = f"{picture(size='64x64', seconds=0.04)} -frames:v 1 -pix_fmt yuvj420p cover.jpg"
    fonts = f"{picture()} {tone()} -i b.ass -map 0 -map 1 -map 2 {X264} -c:a aac -c:s ass " \
            f"{attach(FONTS)} in.mkv"
    mkv_cover = [cover, jpeg,
                 f"{picture()} {tone()} {X264} -c:a aac {DEFAULTS} -attach cover.png -metadata:s:t:0 "
                 "mimetype=image/png -attach cover.jpg -metadata:s:t:1 mimetype=image/jpeg in.mkv"]
    mp4_cover = [cover, f"{picture()} {tone()} -i cover.png -map 0 -map 1 -map 2 {X264} -c:a aac -c:v:1 copy "
                 "-disposition:v:1 attached_pic in.mp4"]
    first = [cover, f"-i cover.png {picture()} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac -c:v:0 copy "
             "-disposition:v:0 attached_pic in.mp4"]
    small = picture(size="48x32")
    return [
        Case("20 fonts and ass", [fonts], files={**ass, **FONTS}),
        Case("a file of any type attached", [
            f"{picture()} {X264} -attach notes.txt -metadata:s:t:0 mimetype=text/plain -attach x.bin "
            "-metadata:s:t:1 mimetype=application/octet-stream in.mkv"],
            files={"notes.txt": "Some notes. äöü\n", "x.bin": bytes(range(256)) * 20}),
        Case("covers in mkv", mkv_cover, checks=(holds('"attached_pic": 1'),)),
        Case("a cover in mp4", mp4_cover, source="in.mp4", out="", default="in.4k.mp4",
             checks=(holds('"attached_pic": 1'),)),
        Case("a cover before the video", first, source="in.mp4", out="out.mp4",
             checks=(holds('"attached_pic": 1'),)),
        Case("a cover from mp4 to mkv", mp4_cover, source="in.mp4", checks=(holds('"attached_pic": 1'),)),
        Case("covers from mkv to mp4", mkv_cover, out="out.mp4", lost_tags=("filename", "mimetype")),
        Case("a second, smaller video",
             [f"{picture()} {small} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac in.mkv"]),
        Case("the better video comes second", [
            f"{small} {picture()} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac -disposition:v:0 0 "
            "-disposition:v:1 default in.mkv"]),
        Case("two videos in mp4",
             [f"{picture()} {small} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac in.mp4"],
             source="in.mp4", out="", default="in.4k.mp4"),
        Case("a time code track in mov",
             [f"{picture()} {tone()} {X264} -c:a aac -timecode 01:02:03:04 in.mov"],
             source="in.mov", out="", default="in.4k.mov", checks=(holds('"tmcd"'),)),
        # As a tag of the video: check_tags() compares it.
        Case("a time code track becomes a tag in mkv", [f"{picture()} {X264} -timecode 01:02:03:04 in.mov"],
             source="in.mov", dropped=(1,), checks=(holds('"timecode": "01:02:03:04"'),)),
        Case("a time code track to mkv, dropped",
             [f"{picture()} {tone()} {X264} -c:a aac -timecode 01:02:03:04 "
                                                   "in.mov"],
             source="in.mov", options="--drop data", dropped=(2,)),
    ]


def about():
    """Chapters, tags, languages and flags."""
    chapters = {"c.txt": CHAPTERS, "c5.txt": CHAPTERS_AT_5, "tags.xml": TAGS_XML, "a.srt": SRT, "b.ass": ASS,
                "notes.txt": "notes"}
    told = f"{picture()} {tone()} -i c.txt -map 0 -map 1 -map_metadata 2 -map_chapters 2 {X264} -c:a aac " \
           f"{DEFAULTS} -metadata:s:v title='The picture' -metadata:s:a language=ger -metadata:s:a:0 title=Ton"
    own = "-metadata my_own='x = y; z' -metadata:s:a:0 odd_key=5"
    flags = f"{picture()} {tone(400)} {tone(500)} {tone(600)} -i a.srt -i a.srt -i a.srt " \
            "-map 0 -map 1 -map 2 -map 3 -map 4 -map 5 -map 6 " \
            f"{X264} -c:a aac -disposition:a:0 0 -disposition:a:1 default+original " \
            "-disposition:a:2 comment -disposition:s:0 default+forced -disposition:s:1 hearing_impaired -disposition:s:2 0"
    merged = "mkvmerge -q -o in.mkv --title Segment --global-tags tags.xml --chapters ch.txt " \
             "--language 0:jpn --track-name 0:Bild --default-track-flag 0:yes --commentary-flag 1:yes " \
             "--default-track-flag 1:no --language 1:eng base.mkv --language 0:ger " \
             "--forced-display-flag 0:yes --hearing-impaired-flag 0:yes --track-name 0:Deutsch a.srt " \
             "--language 0:jpn --default-track-flag 0:no b.ass --attachment-mime-type text/plain " \
             "--attachment-name 'A name.txt' --attach-file notes.txt"
    simple_chapters = "CHAPTER01=00:00:00.000\nCHAPTER01NAME=One\n" \
                      "CHAPTER02=00:00:00.300\nCHAPTER02NAME=Zwei ü\n"
    at_5 = f"{picture()} {tone()} -i c5.txt -map 0 -map 1 -map_chapters 2 {X264} -c:a aac -output_ts_offset 5"
    lost = ("my_own", "odd_key")
    return [
        Case("chapters and tags in mkv", [f"{told} {own} in.mkv"], files=chapters,
             checks=(holds("odd_key"),)),
        Case("chapters and tags in mp4", [f"{told} in.mp4"], source="in.mp4", out="", default="in.4k.mp4",
             files=chapters),
        Case("chapters and tags from mp4 to mkv", [f"{told} in.mp4"], source="in.mp4", files=chapters),
        Case("chapters and tags from mkv to mp4", [f"{told} {own} in.mkv"], out="out.mp4", files=chapters,
             lost_tags=lost + ("title",)),
        Case("chapters from mkv to mov", [f"{told} in.mkv"], out="out.mov", files=chapters,
             lost_tags=("title", "artist", "comment")),
        # libavformat moves NUT's packets so that no decoding time is negative, and leaves chapters.
        Case("chapters and tags from mkv to nut", [f"{told} {own} in.mkv"], out="out.nut", files=chapters,
             slack=Fraction(60, 1000)),
        Case("chapters of a file that starts at 5 s", [f"{at_5} in.mkv"], files=chapters,
             checks=(starts_at(4.9, 5.1), starts_at_zero)),
        Case("flags in mkv", [f"{flags} -c:s srt in.mkv"], files=chapters),
        Case("flags in mp4", [f"{flags} -c:s mov_text in.mp4"], source="in.mp4", out="", default="in.4k.mp4",
             files=chapters),
        Case("what mkvmerge writes", [f"{picture()} {tone()} {X264} -c:a aac base.mkv", merged],
             files={**chapters, "ch.txt": simple_chapters}),
        Case("languages in ts", [f"{picture()} {tone(400)} {tone(500)} -map 0 -map 1 -map 2 {X264} -c:a ac3 "
                                 "-metadata:s:a:0 language=eng -metadata:s:a:1 language=deu in.ts"],
             source="in.ts",
             out="", default="in.4k.ts"),
    ]


def times():
    h264 = f"{X264} -c:a aac"
    both = f"{picture()} {tone()} -map 0 -map 1"
    vfr = f"{picture(more=UNEVEN)} {tone()} {h264} -vsync passthrough"
    raw = f"{picture()} {X264} raw.h264"
    same_lossless = f"{picture()} {FFV1} ref.mkv"
    rates = [Case(f"{rate} frames a second in {kind}", [
        f"{picture(rate=rate)} {tone()} {h264} in.{kind}"], source=f"in.{kind}", out="",
                  default=f"in.4k.{kind}")
        for rate, kind in (("24000/1001", "mkv"), ("24000/1001", "mp4"), ("30000/1001", "ts"),
                           ("60000/1001", "mkv"), ("12.5", "mov"), ("12.5", "mkv"))]
    return rates + [
        Case("uneven frames in mkv", [f"{vfr} in.mkv"], checks=(irregular,)),
        Case("uneven frames in mp4", [f"{vfr} -video_track_timescale 90000 in.mp4"], source="in.mp4",
             out="out.mp4",
             checks=(irregular,)),
        Case("uneven frames from mkv to ts", [f"{vfr} in.mkv"], out="out.ts", checks=(irregular,),
             lost_flags=("default",)),
        Case("a raw stream without times", [raw, same_lossless], source="raw.h264", reference="ref.mkv"),
        Case("b-frames in avi", [f"{picture()} {tone()} {X264} -c:a mp3 in.avi", same_lossless],
             source="in.avi",
             reference="ref.mkv"),
        Case("a start at 5 s in mkv", [f"{both} {h264} -output_ts_offset 5 in.mkv"],
             checks=(starts_at(4.9, 5.1), starts_at_zero)),
        Case("a start at 100 s in ts to mkv", [f"{both} {h264} -output_ts_offset 100 in.ts"], source="in.ts",
             checks=(starts_at(100, 103), starts_at_zero)),
        Case("a start before 0 in mkv", [f"{both} {FFV1} -c:a pcm_s16le -output_ts_offset -0.2 "
                                         "-avoid_negative_ts disabled in.mkv"],
             checks=(starts_at(-0.3, -0.1),)),
        Case("an edit list in mp4", [f"{picture(seconds=1.2)} {tone(seconds=1.2)} {h264} -g 100 whole.mp4",
                                     f"-ss 0.5 -i whole.mp4 {COPY} in.mp4"], source="in.mp4", out="out.mp4"),
        Case("an edit list in mp4 to mkv",
             [f"{picture(seconds=1.2)} {tone(seconds=1.2)} {h264} -g 100 whole.mp4",
                                            f"-ss 0.5 -i whole.mp4 {COPY} in.mp4"], source="in.mp4"),
        Case("an edit list that delays the sound", [
            f"{picture()} -itsoffset 0.25 {tone(seconds=0.5)} {h264} in.mp4"], source="in.mp4",
             out="out.mp4"),
        Case("an edit list that delays the picture", [
            f"-itsoffset 0.25 {picture()} {tone(seconds=1)} -map 0 -map 1 {h264} in.mp4"], source="in.mp4",
            out="out.mp4"),
        Case("one frame", [f"{picture(seconds=0.04)} {X264} in.mkv"]),
        Case("one frame with sound in mp4", [f"{picture(seconds=0.04)} {tone()} {h264} in.mp4"],
             source="in.mp4",
             out="out.mp4"),
        Case("sound longer than the picture", [f"{picture()} {tone(seconds=3)} {h264} in.mkv"]),
        Case("sound shorter than the picture", [f"{picture(seconds=1)} {tone(seconds=0.3)} {h264} in.mkv"]),
        Case("sound that starts late",
             [f"{picture(seconds=1)} -itsoffset 0.5 {tone(seconds=0.4)} {h264} in.mkv"]),
        Case("sound that starts first", [f"-itsoffset 0.4 {picture()} {tone(seconds=1)} -map 0 -map 1 {h264} "
                                         "in.mkv"]),
        Case("a hole in the middle", [
            f"{picture(more=HOLE)} {tone()} {h264} -vsync passthrough in.mkv"]),
        Case("one frame every two seconds",
             [f"{picture(rate='0.5', seconds=10)} {tone(seconds=10)} {h264} in.mkv"]),
    ]


def fields():
    """Interlaced and telecined sources, and other filters."""
    woven = picture(rate=50, more="tinterlace=interleave_top,setfield=tff")
    woven_bff = picture(rate=50, more="tinterlace=interleave_bottom,setfield=bff")
    reference = f"-i in.mkv -vf bwdif=mode=send_frame:deint=interlaced {FFV1} -an ref.nut"
    plain = f"-i in.mkv {FFV1} -an ref.nut"
    tff, bff = f"{MPEG2} -flags +ilme+ildct -top 1", f"{MPEG2} -flags +ilme+ildct -top 0"
    film = picture(size="720x480", rate="24000/1001", seconds=1)
    telecined = f"{film[:-1]},telecine=pattern=23,setfield=tff\" -r 30000/1001"
    flagged = holds('"interlaced_frame": 1')
    vfr = picture(more=UNEVEN)
    times_of_film = (steady(Fraction(1001, 24000)),)
    return [
        Case("interlaced mpeg2, top field first", [f"{woven} {tone()} {tff} -c:a mp2 in.mkv", reference],
             reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("interlaced mpeg2, bottom field first",
             [f"{woven_bff} {tone()} {bff} -c:a mp2 in.mkv", reference],
             reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("interlaced mpeg2 in ts", [f"{woven} {tone()} {tff} -c:a mp2 in.mkv", reference,
                                        f"-i in.mkv {COPY} in.ts"], source="in.ts", out="",
             default="in.4k.ts",
             reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("interlaced h264",
             [f"{woven} {tone()} {X264} -flags +ilme+ildct -top 1 -c:a aac in.mkv", reference],
             reference="ref.nut", checks=(flagged, fine_pictures, holds('"field_order": "tt"'))),
        # ffmpeg isn't told that libx264 was, and says so in the container.
        Case("interlaced h264 in a container that says progressive", [
            f"{woven} {tone()} {X264} -x264-params tff=1 -c:a aac in.mkv", reference], reference="ref.nut",
            checks=(flagged, fine_pictures, holds('"field_order": "progressive"'))),
        Case("interlaced, left as it is", [f"{woven} {tone()} {tff} -c:a mp2 in.mkv", plain],
             options="--deinterlace off", reference="ref.nut", checks=(flagged, fine_pictures)),
        Case("telecined mpeg2 back to film", [f"{telecined} {tff} -g 12 in.mkv", f"{film} {FFV1} ref.nut"],
             options="--ivtc", reference="ref.nut", checks=times_of_film),
        Case("telecined ffv1 back to film", [f"{telecined} {FFV1} in.mkv", f"{film} {FFV1} ref.nut"],
             options="--ivtc", reference="ref.nut", checks=times_of_film),
        Case("cropped before the network", [f"{picture()} {tone()} {X264} -c:a aac in.mkv",
                                            f"-i in.mkv -an -vf crop=64:48:16:8 {FFV1} ref.nut"],
             options="--vf crop=64:48:16:8", reference="ref.nut", size="128x96"),
        Case("a chain of filters", [f"{picture()} {tone()} {X264} -c:a aac in.mkv",
                                    f"-i in.mkv -an -vf crop=64:48:16:8,hflip {FFV1} ref.nut"],
             options="--vf crop=64:48:16:8,hflip", reference="ref.nut", size="128x96"),
        Case("made even by --fps", [f"{vfr} {tone()} {X264} -c:a aac -vsync passthrough in.mkv",
                                    f"-i in.mkv -an -vf fps=25 {FFV1} ref.nut"],
             options="--fps 25", reference="ref.nut", slack=Fraction(1, 50), checks=(irregular, steady(Fraction(1, 25)))),
    ]


def formats():
    """Pixel formats, each to its 10 or 12 bit sibling."""
    lossless = ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le",
                "yuv422p12le", "yuv444p12le", "yuv411p", "gray", "gray10le", "gbrp10le", "bgr0")
    rawvideo = ("nv12", "yuyv422", "uyvy422", "bgr0", "rgb24", "gray")
    cases = [Case(f"{pix} in ffv1", [f"{picture(pix=pix, seconds=0.4)} {FFV1} in.mkv"],
                  checks=(holds(f'"pix_fmt": "{pix}"'),)) for pix in lossless]
    cases += [Case(f"{pix} in rawvideo", [f"{picture(pix=pix, seconds=0.4)} -c:v rawvideo in.nut"],
                   source="in.nut",
                   checks=(holds(f'"pix_fmt": "{pix}"'),)) for pix in rawvideo]
    odd = [Case(f"67x45 {pix}", [f"{picture(size='67x45', pix=pix, seconds=0.4)} {FFV1} in.mkv"],
                size="134x90")
           for pix in ("yuv420p", "yuv422p", "yuv444p", "gbrp", "gray")]
    alpha = [f"{picture(pix='yuva420p', seconds=0.4)} {FFV1} in.mkv"]
    raw = [Case(f"{pix} without a container", [f"{picture(pix=pix)} -f rawvideo in.yuv",
                                               f"{picture(pix=planar)} {FFV1} same.mkv"],
                source="in.yuv", same="same.mkv", options=f"--size 96x64 --pix-fmt {pix} --fps 25")
           for pix, planar in (("yuv420p", "yuv420p"), ("p010le", "yuv420p10le"), ("nv12", "yuv420p"))]
    return cases + odd + raw + [
        Case("gbrp in h264",
             [f"{picture(pix='gbrp', seconds=0.4)} -c:v libx264rgb -preset ultrafast -qp 0 in.mkv"],
             checks=(holds('"pix_fmt": "gbrp"'),)),
        Case("rgb24 in png", [f"{picture(pix='rgb24', seconds=0.4)} -c:v png in.mkv"]),
        Case("yuvj420p in mjpeg", [f"{picture(pix='yuvj420p', seconds=0.4)} -c:v mjpeg -q:v 2 in.mkv"]),
        Case("prores 4:2:2 10 bit in mov",
             [f"{picture(pix='yuv422p10le')} -c:v prores_ks -profile:v 3 in.mov"],
             source="in.mov", out="out.mkv"),
        Case("alpha is refused", alpha, refused=(0,)),
        Case("alpha is dropped", alpha, options="--drop alpha"),
    ]


def colours():
    tags = {
        "601, 525 lines": "-colorspace smpte170m -color_primaries smpte170m -color_trc smpte170m",
        "601, 625 lines": "-colorspace bt470bg -color_primaries bt470bg -color_trc gamma28",
        "709": "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range tv",
        "709, full range": "-colorspace bt709 -color_primaries bt709 -color_trc bt709 -color_range pc",
        "hlg": "-colorspace bt2020nc -color_primaries bt2020 -color_trc arib-std-b67 -color_range tv",
        "sRGB transfer": "-colorspace bt709 -color_primaries bt709 -color_trc iec61966-2-1",
    }
    ten = {"hlg": "yuv420p10le"}
    tagged = [Case(f"tags: {name} in {kind}",
                   [f"{picture(pix=ten.get(name, 'yuv420p'))} {codec} {words} in.{kind}"],
                   source=f"in.{kind}", out=f"out.{kind}")
              for name, words in tags.items() for kind, codec in (("mkv", FFV1), ("mp4", X264))]
    siting = [Case(f"tags: chroma is {place}", [f"{picture()} {X264} -x264-params chromaloc={number} in.mkv"],
                   checks=(holds(f'"chroma_location": "{place}"'),))
              for place, number in (("left", 0), ("center", 1), ("topleft", 2))]
    hdr = '-c:v libx265 -preset ultrafast -x265-params "log-level=error:pools=none:colorprim=bt2020:' \
          'transfer=smpte2084:colormatrix=bt2020nc:chromaloc=2:hdr10=1:max-cll=1000,400:master-display=' \
          'G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"'
    hdr10 = f"{picture(pix='yuv420p10le', seconds=0.4)} {hdr}"
    light = holds("Mastering display", "Content light")
    charts = []
    for matrix, primaries, transfer in (("smpte170m", "smpte170m", "smpte170m"), ("bt709", "bt709", "bt709"),
                                        ("bt2020nc", "bt2020", "bt2020-10")):
        for full in (False, True):
            for depth in (8, 10):
                pix = "yuv420p" if depth == 8 else "yuv420p10le"
                charts.append(Case(
                    f"chart: {matrix}, {'full' if full else 'limited'}, {depth} bit",
                    [chart(matrix, full, depth),
                     f"-f rawvideo -s 96x96 -r 25 -pix_fmt {pix} -i chart.yuv {FFV1} -colorspace {matrix} "
                     f"-color_primaries {primaries} -color_trc {transfer} "
                     f"-color_range {'pc' if full else 'tv'} in.mkv"], encoder="ffv1", checks=(check_chart(full, depth),)))
    return tagged + siting + charts + [
        Case("nothing tagged stays so", [f"{picture()} {X264} in.mp4"], source="in.mp4", out="out.mp4"),
        Case("hdr10 in mkv", [f"{hdr10} in.mkv"], checks=(light,)),
        Case("hdr10 in mp4", [f"{hdr10} in.mp4"], source="in.mp4", out="out.mp4", checks=(light,)),
        Case("hdr10 from mkv to mp4", [f"{hdr10} -disposition:v:0 default in.mkv"], out="out.mp4",
             checks=(light,)),
        Case("hdr10 in ts", [f"{hdr10} in.ts"], source="in.ts", out="out.ts", checks=(light,)),
    ]


def shapes():
    """Pixels that aren't square, and pictures that are turned."""
    def turned(degrees):
        return [f"{picture()} {tone()} {X264} -c:a aac whole.mp4",
                f"-i whole.mp4 {COPY} -metadata:s:v rotate={degrees} in.mp4"]
    matrix = holds("displaymatrix")
    return [
        Case("pixels of 16:15", [f"{picture(more='setsar=16/15')} {X264} in.mkv"], checks=(holds("16:15"),)),
        Case("pixels of 8:9 in mp4", [f"{picture(more='setsar=8/9')} {X264} in.mp4"], source="in.mp4",
             out="out.mp4",
             checks=(holds("8:9"),)),
        Case("pixels of 64:45 in ts", [f"{picture(more='setsar=64/45')} {X264} in.ts"], source="in.ts",
             out="out.ts",
             checks=(holds("64:45"),)),
        Case("turned by 90 in mp4", turned(90), source="in.mp4", out="", default="in.4k.mp4",
             checks=(matrix,)),
        Case("turned by 180 from mp4 to mov", turned(180), source="in.mp4", out="out.mov", checks=(matrix,)),
        *(Case(f"turned by {n} from mp4 to mkv", turned(n), source="in.mp4", turned=True, checks=(matrix,))
          for n in (90, 180, 270)),
        Case("turned with pixels of 4:3 to mkv", [
            f"{picture(more='setsar=4/3')} {X264} whole.mp4",
            f"-i whole.mp4 {COPY} -metadata:s:v rotate=90 in.mp4"],
            source="in.mp4", turned=True, sar="3:4", checks=(matrix,)),
    ]


def choices():
    """--audio, --subs, --drop, and what is refused."""
    texts = {"a.srt": SRT, "b.ass": ASS, "p.sup": PGS, **dict(list(FONTS.items())[:2])}
    languages = "-metadata:s:a:0 language=jpn -metadata:s:a:1 language=eng -metadata:s:a:2 language=ger " \
                "-metadata:s:s:0 language=eng -metadata:s:s:1 language=jpn"
    cover = f"{picture(size='64x64', seconds=0.04)} -frames:v 1 -pix_fmt rgb24 cover.png"
    # 0 video, 1-3 audio, 4-5 subtitles, 6-7 fonts, 8 cover.
    full = [cover,
            f"{picture()} {tone(400)} {tone(500)} {tone(600)} -i a.srt -i b.ass -map 0 -map 1 -map 2 -map 3 "
            f"-map 4 -map 5 {X264} -c:a aac {DEFAULTS} -c:s:0 srt -c:s:1 ass {languages} "
            f"{attach(list(FONTS)[:2])} -attach cover.png -metadata:s:t:2 mimetype=image/png in.mkv"]
    small = [f"{picture()} {picture(size='48x32')} {tone()} -map 0 -map 1 -map 2 {X264} -c:a aac in.mkv"]
    flac = [f"{picture()} {tone()} {tone(600)} -map 0 -map 1 -map 2 {X264} -c:a:0 flac -c:a:1 aac in.mkv"]
    captioned = [f"{picture(seconds=1)} {X264} -bf 0 plain.h264", add_captions("plain.h264", "cc.h264"),
                 f"-r 25 -i cc.h264 {X264} -a53cc 1 in.mkv"]

    def option(options, dropped):
        return Case(options, full, options=options, dropped=dropped, files=texts)
    return [
        option("--audio none", (1, 2, 3)), option("--audio jpn", (2, 3)), option("--audio ger,jpn", (2,)),
        option("--audio all --subs all", ()), option("--subs none", (4, 5)), option("--subs jpn", (4,)),
        option("--audio eng --subs eng", (1, 3, 5)), option("--drop 3", (3,)), option("--drop 2,5", (2, 5)),
        option("--drop attachments", (6, 7)), option("--drop cover", (8,)),
        option("--drop attachments,cover,1 --subs none", (1, 4, 5, 6, 7, 8)),
        Case("--drop video", small, options="--drop video", dropped=(1,)),
        Case("mkv with ass and fonts to mp4 is refused", full, out="out.mp4", refused=(4, 5, 6, 7),
             files=texts),
        Case("mkv with ass and fonts to mp4, unsupported ones dropped", full, out="out.mp4", files=texts,
             options="--drop unsupported", dropped=(4, 5, 6, 7), lost_tags=("filename", "mimetype")),
        Case("flac to ts is refused", flac, out="out.ts", refused=(1,)),
        Case("flac to ts, dropped by number", flac, out="out.ts", options="--drop 1", dropped=(1,),
             lost_flags=("default",)),
        Case("srt to ts is refused",
             [f"{picture()} -i a.srt -i a.srt -map 0 -map 1 -map 2 {X264} -c:s srt in.mkv"],
             out="out.ts", refused=(1, 2), files=texts),
        Case("captions are kept by libx264", captioned, encoder="libx264", checks=(has_captions(True),)),
        Case("captions are refused by libx265", captioned, refused=(0,)),
        Case("captions are dropped", captioned, options="--drop captions", checks=(has_captions(False),)),
    ]


def names():
    def named(name, out):
        return Case(f"a file named {name}", [f"{picture(seconds=0.4)} {X264} in.mkv", rename("in.mkv", name)],
                    source=name, out="", default=out)
    return [named("with spaces & 'quotes' \"x\".mkv", "with spaces & 'quotes' \"x\".4k.mkv"),
            named("日本語 – Folge 01 [äöü].mkv", "日本語 – Folge 01 [äöü].4k.mkv"),
            named("50% of: %d #1?.mkv", "50% of: %d #1?.4k.mkv"),
            named("-q.mkv", "-q.4k.mkv")]


def rename(old, new):
    return lambda work: (work / old).rename(work / new)


def all_cases():
    parts = (containers, sounds, subtitles, attachments, about, times, fields, formats, colours, shapes,
             choices,
             names)
    return [case for part in parts for case in part()]


# ---- running ---------------------------------------------------------------------------------

def make_input(job):
    for name, content in job.case.files.items():
        (job.work / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for step in job.case.make:
        if callable(step):
            step(job.work)
        elif step.startswith("mkv"):
            must(shlex.split(step), job.work)
        else:
            must(["ffmpeg", "-v", "error", "-y", *shlex.split(step)], job.work)


def upscale(job):
    case = job.case
    speed = ["-e", case.encoder] + (["--encoder-preset", "ultrafast"] if "x26" in case.encoder else [])
    source = "./" + case.source if case.source.startswith("-") else case.source
    target = ["-o", case.out] if case.out else []
    command = [job.kizuna, "upscale", source, *FAST, "--threads", "1", *speed, *shlex.split(case.options),
               *target]
    before = set(os.listdir(job.work))
    done = run(command, job.work, env={**os.environ, "KIZUNA_DATA_DIR": str(ROOT)})
    job.log = shlex.join(command) + "\n" + text_of(done.stderr)
    fresh = set(os.listdir(job.work)) - before
    wanted = set() if case.refused is not None else {job.output.name}
    job.problems += same("new files", sorted(fresh), sorted(wanted))
    job.problems += same("standard output", done.stdout, b"")
    return done


def check_refusal(job, done):
    """One line for each stream, which tells its number and what to do."""
    lines = [l for l in text_of(done.stderr).splitlines() if l.startswith("kizuna: error:")]
    problems = same("exit code", done.returncode, 2) + same("error lines", len(lines), len(job.case.refused))
    for line, index in zip(lines, job.case.refused):
        named = rf"\bstream {index}\b" + ("|the video has" if index == job.before.main else "")
        if not re.search(named, line) or "--drop" not in line:
            problems.append(f"names no stream {index} or no --drop: {line}")
    job.problems += problems


def work_on(job):
    make_input(job)
    done = upscale(job)
    job.before = File(job.work / (job.case.same or job.case.source))
    if job.case.refused is not None:
        return check_refusal(job, done)
    if done.returncode != 0 or not job.output.is_file():
        lines = text_of(done.stderr).splitlines()
        errors = [l for l in lines if "error" in l] or lines
        job.problems.insert(0, f"exit code {done.returncode}: " + " / ".join(errors[-4:]))
        return None
    job.after = File(job.output)
    job.reference = File(job.work / job.case.reference) if job.case.reference else None
    return compare(job)


def test(job):
    try:
        work_on(job)
    except Broken as broken:
        job.problems.append(f"the test's own tools: {broken}")
    except Exception:
        job.problems.append("the test itself: " + traceback.format_exc())
    return job


def described(file):
    video = file.video
    return f"{video['codec_name']} {video['width']}x{video['height']} {video['pix_fmt']}"


def counted(streams):
    """aac*2,subrip"""
    found = [s.get("codec_name") or kind_of(s) for s in streams]
    parts = [name if found.count(name) == 1 else f"{name}*{found.count(name)}" for name in dict.fromkeys(found)]
    return ",".join(parts) or "-"


def row(job):
    ends = [job.input.suffix[1:], job.output.suffix[1:]]
    verdict = "FAILED" if job.problems else ("refused" if job.case.refused is not None else "same")
    before = [described(job.before), str(len(job.before.frames)),
              counted(job.before.others())] if job.before else ["?"] * 3
    after = [described(job.after), str(len(job.after.frames)),
             counted(job.after.others())] if job.after else ["-"] * 3
    both = [f"{a} -> {b}" if n != 1 else f"{a}/{b}" for n, (a, b) in enumerate(zip(before, after))]
    return [job.case.name, " -> ".join(ends), *both, verdict]


def print_table(jobs):
    rows = [["case", "container", "video", "frames", "other streams", "verdict"]] + [row(job) for job in jobs]
    widths = [max(len(r[n]) for r in rows) for n in range(len(rows[0]))]
    for cells in rows:
        print("# " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


def print_result(number, job):
    print(f"{'not ok' if job.problems else 'ok'} {number} - {job.case.name}")
    if job.problems:
        for line in "\n".join(job.problems + [job.log]).splitlines():
            print(f"# {line}")
    sys.stdout.flush()


def prepare(options, folder):
    """The network of copies, and a folder for each case."""
    must([sys.executable, ROOT / "tests" / "tiny_model.py", "copy"], folder)
    cases = [case for case in all_cases() if not options.only or re.search(options.only, case.name)]
    jobs = []
    for number, case in enumerate(cases, 1):
        work = folder / f"{number:03d}"
        work.mkdir()
        for part in ("copy.param", "copy.bin"):
            shutil.copy(folder / part, work)
        jobs.append(Job(case, work, str(pathlib.Path(options.kizuna).resolve())))
    return jobs


def run_all(jobs, options):
    def one(job):
        done = test(job)
        # Kept ones stay for looking at.
        if not options.keep:
            shutil.rmtree(job.work)
        return done
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for number, job in enumerate(pool.map(one, jobs), 1):
            print_result(number, job)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("kizuna")
    parser.add_argument("--only", help="run the cases whose name this regular expression finds")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", help="an empty folder for what is made, which stays")
    options = parser.parse_args()
    if options.keep:
        os.makedirs(options.keep, exist_ok=True)
    folder = pathlib.Path(options.keep or tempfile.mkdtemp(prefix="fidelity."))
    try:
        jobs = prepare(options, folder)
        run_all(jobs, options)
    finally:
        if not options.keep:
            shutil.rmtree(folder)
    print_table(jobs)
    print(f"1..{len(jobs)}")
    return 1 if any(job.problems for job in jobs) or not jobs else 0


if __name__ == "__main__":
    sys.exit(main())
