"""What is compared between an input and its output."""
import dataclasses
import json
import pathlib
import re
from fractions import Fraction

from files import *


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
    return {k.lower().replace(" ", "_"): v for k, v in place.get("tags", {}).items() if not UNTRUE.match(k)}


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


def interleaved(job):
    """Sound lies in the file near the pictures that it belongs to."""
    latest, late = {}, 0.0
    rows = run(["ffprobe", "-v", "error", "-show_entries", "packet=codec_type,pts_time", "-of", "csv=p=0",
                job.after.path]).stdout.decode().split()
    for kind, time in (row.split(",")[:2] for row in rows):
        latest[kind] = float(time)
        late = max(late, latest.get("video", 0) - latest.get("audio", 0))
    return [f"sound is {late:.2f} s behind the picture"] if late > 1 else []


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


def says(*words):
    """Kizuna tells of it."""
    return lambda job: [f"nothing is said of {w}" for w in words if w not in job.log]


def says_no(*words):
    return lambda job: [f"something is said of {w}" for w in words if w in job.log]


class Every:
    """In the place of a list of keys."""
    def __contains__(self, key):
        return True


def tag_is(key, value):
    """A tag of the whole file, as it is read back."""
    return lambda job: same(f"tag {key}", job.after.data["format"].get("tags", {}).get(key), value)


def same_creation_time(job):
    was, now = (file.data["format"]["tags"].get("creation_time") for file in (job.before, job.after))
    return same("creation time", now, was) if was else ["the input has no creation time, so this tests nothing"]


def first_is(codec, tag):
    def check(job):
        video = job.after.video
        return same("tag", (video["codec_name"], video["codec_tag_string"]), (codec, tag))
    return check
