"""What a media file holds, as ffprobe and ffmpeg tell it."""
import array
import hashlib
import json
import pathlib
import re
import shlex
import subprocess
from fractions import Fraction


ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
LIMIT_S = 120
FAST = ["-m", "./copy.param", "-s", "2", "--progress", "off"]
MATROSKA = (".mkv", ".webm")
TRANSPORT = (".ts", ".m2ts")
ISO = (".mp4", ".m4v", ".mov")

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
CODEC = {"libsvtav1": "av1", "libx265": "hevc", "ffv1": "ffv1", "libx264": "h264"}


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
    # Ffmpeg would make limited range of what it repacks.
    return f"setrange=tv,format={PLANAR.get(pix, pix)},"


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
