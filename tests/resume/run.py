#!/usr/bin/env python3
"""Interrupted runs go on: killed at random, at each write, by full and broken disks, with damaged
journals; and every time the file comes out byte for byte as without a break.

    tests/resume/run.py build/release/kizuna build/release/tests/libfault.so [--long] [--only REGEX]

Prints TAP. Needs Debian's ffmpeg."""
import argparse
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parents[2]
FAST = ["-m", "./copy.param", "-s", "2", "--encoder-preset", "ultrafast", "--progress", "off"]
SEED = 1

# Three scenes of 5, 6 and 5 seconds, so that there are three segments.
SCENES = "-f lavfi -i testsrc2=s=96x64:r=25:d=5 -f lavfi -i smptebars=s=96x64:r=25:d=6 " \
         "-f lavfi -i mandelbrot=s=96x64:r=25 -f lavfi -i sine=d=16 -filter_complex " \
         "[0]format=yuv420p,setsar=1[a];[1]format=yuv420p,setsar=1,hue=H=t[b];" \
         "[2]trim=duration=5,negate,format=yuv420p,setsar=1[c];[a][b][c]concat=n=3[v] -map [v] -map 3:a -t 16"


def ffmpeg(options, name, work):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *options.split(), name], cwd=work, check=True,
                   stdin=subprocess.DEVNULL)


class Test:
    def __init__(self, args, work):
        self.kizuna, self.fault = os.path.abspath(args.kizuna), os.path.abspath(args.fault)
        self.work, self.long = pathlib.Path(work), args.long
        self.random = random.Random(SEED)
        self.fast = FAST
        self.known = {}
        subprocess.run([sys.executable, ROOT / "tests/tiny_model.py", "copy"], cwd=work, check=True)
        ffmpeg(f"{SCENES} -c:v libx264 -preset veryfast -g 40 -bf 2 -c:a aac", "in.mkv", work)

    def command(self, source, out, options=()):
        return [self.kizuna, "upscale", source, *self.fast, *options, "-o", out]

    def start(self, source="in.mkv", out="out.mkv", options=(), env=None):
        return subprocess.Popen(self.command(source, out, options), cwd=self.work, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                env={**os.environ, "KIZUNA_DATA_DIR": str(ROOT), **(env or {})})

    def run(self, *args, expect=0, **more):
        process = self.start(*args, **more)
        _, log = process.communicate(timeout=120)
        if expect is not None:
            assert process.returncode == expect, f"exit code {process.returncode}, not {expect}:\n{log}"
        return process.returncode, log

    def digest(self, name):
        return hashlib.sha256((self.work / name).read_bytes()).hexdigest()

    def whole(self, source="in.mkv", ending=".mkv", options=()):
        """What comes out without a break, and how long that took."""
        known = (source, ending, *options, *self.fast)
        if known in self.known:
            self.seconds, digest = self.known[known]
            return digest
        name = f"whole{ending}"
        (self.work / name).unlink(missing_ok=True)
        began = time.monotonic()
        self.run(source, name, [*options, "--restart"])
        self.seconds = time.monotonic() - began
        self.known[known] = self.seconds, self.digest(name)
        return self.known[known][1]

    def folder(self, out="out.mkv"):
        return self.work / f".{out}.kizuna"

    def clean(self, out="out.mkv"):
        shutil.rmtree(self.folder(out), ignore_errors=True)
        (self.work / out).unlink(missing_ok=True)

    def check_done(self, digest, out="out.mkv", log=""):
        assert self.digest(out) == digest, f"{out} isn't what it would be without a break\n{log}"
        assert not self.folder(out).exists(), f"{self.folder(out)} is still there"

    def check_finds_it_whole(self, digest):
        code, log = self.run(expect=None)
        assert code in (0, 2), log
        self.check_done(digest, log=log)

    def preload(self, **variables):
        return {"LD_PRELOAD": self.fault, **{k: str(v) for k, v in variables.items()}}

    def kill_after(self, condition, source="in.mkv", out="out.mkv", options=(), limit=60):
        process = self.start(source, out, options)
        end = time.monotonic() + limit
        while process.poll() is None and not condition() and time.monotonic() < end:
            time.sleep(0.002)
        process.kill()
        process.communicate()

    def has_segments(self, count, out="out.mkv"):
        journal = self.folder(out) / "journal"
        try:
            return journal.read_bytes().count(b" segment ") >= count
        except OSError:
            return False

    def stop_with(self, segments, **more):
        """An unfinished run of so many segments."""
        out = more.get("out", "out.mkv")
        self.clean(out)
        self.kill_after(lambda: self.has_segments(segments, out), **more)
        assert self.has_segments(segments, out), "the run was over before it could be killed"


# ---- tests -----------------------------------------------------------------------------------

def killed_at_random(t):
    digest = t.whole()
    kills = again = 0
    rounds = 100 if t.long else 4
    while kills < rounds:
        t.clean()
        for _ in range(50):
            process = t.start()
            try:
                process.wait(t.random.uniform(0.02, t.seconds * 1.1))
            except subprocess.TimeoutExpired:
                process.kill()
                kills += 1
            log = process.communicate()[1]
            if process.returncode == 0 or (t.work / "out.mkv").exists():
                break
        # Killed behind the very end: the next run only looks whether anything is to be cleaned up.
        if process.returncode != 0:
            t.check_finds_it_whole(digest)
        t.check_done(digest, log=log)
        found = re.search(r"(\d+) were computed again", log)
        again = max(again, int(found[1]) if found else 0)
    print(f"# {kills} kills; at most {again} frames were computed again")
    assert again <= 500


def killed_while_tidying_up(t):
    """The output has its name; of the unfinished run's files some are gone, the journal is not."""
    digest = t.whole()
    for _ in range(50):
        t.clean()
        t.kill_after((t.work / "out.mkv").exists)
        if (t.folder() / "journal").exists():
            break
    for segment in sorted(t.folder().glob("*.segment"))[1:2]:
        segment.unlink()
    assert (t.folder() / "journal").exists(), "the run was over before it could be killed"
    t.check_finds_it_whole(digest)


def strikes(t, fault):
    """The n-th write, sync or rename of an unfinished run's files."""
    digest = t.whole()
    t.clean()
    t.run(env=t.preload(KZ_FAULT_COUNT=t.work / "count"))
    count = int((t.work / "count").read_text())
    t.check_done(digest)
    turns = range(1, count + 1)
    if not t.long:
        turns = sorted({1, count} | set(t.random.sample(turns, min(2, count))))
    for n in turns:
        t.clean()
        code, log = t.run(env=t.preload(KZ_FAULT=fault, KZ_FAULT_AT=n), expect=None)
        errors = log.count("kizuna: error:")
        if fault in ("kill", "torn"):
            assert code == -signal.SIGKILL, f"{n}: exit code {code}"
        elif code != 0:
            assert code == 1 and errors == 1, f"{n}: exit code {code}, {errors} error lines:\n{log}"
        if code != 0:
            assert not (t.work / "out.mkv").exists() or t.digest("out.mkv") == digest
            code, log = t.run()
        t.check_done(digest, log=f"{n}\n{log}")
    print(f"# {fault}: {len(turns)} of {count} places")


def killed_by_writes(t):
    strikes(t, "kill")


def torn_writes(t):
    strikes(t, "torn")


def full_disk(t):
    strikes(t, "ENOSPC")


def broken_disk(t):
    strikes(t, "EIO")


def containers(t):
    """Some can be entered in the middle, some can't."""
    sources = {
        "b.mp4": f"-i in.mkv -c copy",
        "b.ts": f"-i in.mkv -c copy",
        "b.avi": f"-i in.mkv -an -c:v mpeg4 -bf 1 -q:v 3",
        "b.h264": f"-i in.mkv -an -c copy",
        "open.mkv": f"-i in.mkv -an -c:v libx264 -preset veryfast -x264-params open-gop=1:keyint=30:bframes=3",
        "vfr.mkv": f"-i in.mkv -vf select='gt(mod(n\\,7)\\,1)' -vsync vfr -c:v libx264 -preset veryfast -c:a copy",
        "gop1.mkv": f"-i in.mkv -an -c:v libx264 -preset veryfast -g 1000 -sc_threshold 0",
        "none.webm": f"-i in.mkv -an -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -b:v 300k",
    }
    for name, options in sources.items():
        ffmpeg(options, name, t.work)
        digest = t.whole(name)
        t.stop_with(2, source=name)
        _, log = t.run(name)
        t.check_done(digest, log=f"{name}\n{log}")


def filters(t):
    for options in (["--vf", "tmix=frames=3"], ["--fps", "20"], ["--start", "2", "--duration", "12"],
                    ["--frames", "330"], ["--no-verify"]):
        digest = t.whole(options=options)
        t.stop_with(1 if "--start" in options else 2, options=options)
        _, log = t.run(options=options)
        t.check_done(digest, log=f"{options}\n{log}")


def reuse(t):
    """anime-6b's parts that are computed again have a halo of their own."""
    ffmpeg("-f lavfi -i mandelbrot=s=214x132:r=25 -f lavfi -i testsrc2=s=24x24:r=25 -filter_complex "
           "[0]format=yuv420p,loop=-1:1,negate=enable='gte(t\\,5)'[a];"
           "[a][1]overlay=186:104:enable='gt(t\\,5.2)' -t 5.6 -c:v libx264 -preset veryfast -crf 18", "still.mkv",
           t.work)
    options = ["-m", "anime-6b", "-s", "4", "--reuse", "near", "-e", "ffv1"]
    t.fast = ["--progress", "off"]
    digest = t.whole("still.mkv", options=options)
    t.stop_with(1, source="still.mkv", options=options)
    _, log = t.run("still.mkv", options=options)
    t.check_done(digest, log=log)
    t.fast = FAST


def encoders(t):
    for encoder, options in (("libx264", []), ("ffv1", []), ("libsvtav1", ["--crf", "40"]), ("mpeg4", ["--pix-fmt", "yuv420p"])):
        flags = ["-e", encoder, *options]
        plain = t.fast
        t.fast = [w for w in plain if w not in ("--encoder-preset", "ultrafast")] if encoder != "libx264" else plain
        digest = t.whole(options=flags)
        t.stop_with(2, options=flags)
        _, log = t.run(options=flags)
        t.check_done(digest, log=f"{encoder}\n{log}")
        t.fast = plain


def outputs(t):
    for name in ("out.mp4", "out.ts", "out.mov", "out.nut"):
        digest = t.whole(ending=name[3:])
        t.stop_with(2, out=name)
        _, log = t.run(out=name)
        t.check_done(digest, out=name, log=f"{name}\n{log}")


def linked_output(t):
    """The output is a link to a file elsewhere: that is what is replaced."""
    digest = t.whole()
    (t.work / "elsewhere").mkdir(exist_ok=True)
    (t.work / "elsewhere" / "file.mkv").write_bytes(b"old")
    (t.work / "out.mkv").symlink_to("elsewhere/file.mkv")
    process = t.start(options=["-y"])
    time.sleep(t.seconds * 0.7)
    process.kill()
    process.communicate()
    t.run(options=["-y"])
    assert (t.work / "out.mkv").is_symlink() and t.digest("elsewhere/file.mkv") == digest
    assert [p.name for p in (t.work / "elsewhere").iterdir()] == ["file.mkv"]


def without_links(t):
    """A file system on which nothing but a plain rename gives a file its name."""
    digest = t.whole()
    env = t.preload(KZ_NO_LINKS=1)
    t.clean()
    t.run(env=env)
    t.check_done(digest)
    t.clean()
    process = t.start(env=env)
    while process.poll() is None and not t.has_segments(1):
        time.sleep(0.002)
    (t.work / "out.mkv").write_bytes(b"another")
    log = process.communicate()[1]
    assert process.returncode == 1 and "File exists" in log, log
    assert (t.work / "out.mkv").read_bytes() == b"another"


def names(t):
    for name in ("a\nb.mkv", "x" * 240 + ".mkv", "100%d #.mkv", "-q.mkv"):
        out = "./" + name
        t.clean(name)
        digest = t.whole()
        process = t.start(out=out)
        time.sleep(t.seconds * 0.5)
        process.kill()
        process.communicate()
        (t.work / name).unlink(missing_ok=True)  # a machine that has become faster was done already
        t.run(out=out)
        assert t.digest(name) == digest
        left = [p for p in t.work.iterdir() if p.name.endswith(".kizuna")]
        assert not left, left
        (t.work / name).unlink()


def faster_than_anew(t):
    """Killed late, the rest takes less than the whole. On a busy machine a run may wait: three chances."""
    digest = t.whole()
    for left in range(2, -1, -1):
        t.stop_with(2)
        began = time.monotonic()
        _, log = t.run()
        seconds = time.monotonic() - began
        t.check_done(digest)
        ready = int(re.search(r"(\d+) frames were finished", log)[1])
        print(f"# {ready} of 400 frames were ready: {seconds:.2f} s, the whole {t.seconds:.2f} s")
        assert ready >= 240
        if seconds < 0.6 * t.seconds + 0.3:
            return
        assert left, "a run that goes on takes as long as a new one"


def changed_options(t):
    digest = t.whole()
    t.stop_with(1)
    journal = (t.folder() / "journal").read_bytes()
    _, log = t.run(options=["--crf", "30"], expect=2)
    assert "--crf was 18, is 30; --restart begins anew" in log, log
    assert log.count("kizuna: error:") == 1, log
    ffmpeg("-i in.mkv -c copy -metadata title=other", "other.mkv", t.work)
    _, log = t.run("other.mkv", expect=2)
    assert "another input" in log, log
    assert (t.folder() / "journal").read_bytes().startswith(journal), "the journal has changed"
    _, log = t.run(options=["--cpu-level", "baseline"], expect=2)
    _, log = t.run(options=["--threads", "1"])
    assert "resume" in log, log
    t.check_done(digest)
    chosen = ["--audio", "none", "--subs", "none", "--drop", "data,captions,alpha,hdr10plus,dovi"]
    without_sound = t.whole(options=chosen)
    t.stop_with(1)
    _, log = t.run(options=chosen)
    assert "segments are ready" in log and without_sound != digest, log
    t.check_done(without_sound)
    t.stop_with(1, options=chosen)
    _, log = t.run()
    assert "segments are ready" in log, log
    t.check_done(digest)
    t.stop_with(1)
    _, log = t.run(options=["--restart"])
    assert "resume" not in log, log
    t.check_done(digest)
    for name in ("input", "model", "engine.level"):
        t.stop_with(1)
        change_fact(t, name, "amx")
        _, log = t.run(options=["--on-change", "restart"])
        assert "differs: it begins anew" in log, (name, log)
        t.check_done(digest)


def other_engine(t):
    """A journal whose run another machine began."""
    digest = t.whole()
    for name, value, code, text in (
            ("engine.level", "amx", 2, "engine.level was amx"),
            ("versions", "kizuna 0.0.1", 2, "versions was kizuna 0.0.1"),
            ("engine.tiles", "1x1 halo 32", 0, "resume"),
            ("host.cpu", "another", 0, "comparing the first frame")):
        t.stop_with(1)
        change_fact(t, name, value)
        if name == "engine.tiles":
            change_fact(t, "host.cpu", "another")
        _, log = t.run(expect=code)
        assert text in log, log
        if code == 0:
            t.check_done(digest)
    t.stop_with(1)
    change_fact(t, "host.cpu", "another")
    change_fact(t, "host.frame", "0" * 32)
    _, log = t.run(expect=1)
    assert "differs in the last bits" in log, log


def change_fact(t, name, value):
    path = t.folder() / "journal"
    lines = path.read_text().splitlines()
    for i, line in enumerate(lines):
        if f" fact {name} " in line:
            text = f"fact {name} {value}"
            lines[i] = hashlib.sha256(text.encode()).hexdigest()[:16] + " " + text
    path.write_text("\n".join(lines) + "\n")


def damaged_journal(t):
    digest = t.whole()
    for damage in ("garbage", "cut", "flip", "zeros", "empty", "missing"):
        t.stop_with(2)
        path = t.folder() / "journal"
        data = bytearray(path.read_bytes())
        if damage == "garbage":
            data += bytes(t.random.randrange(256) for _ in range(3000))
        elif damage == "cut":
            data = data[:-20]
        elif damage == "flip":
            data[data.rindex(b" segment ") + 12] ^= 1
        elif damage == "zeros":
            data += bytes(4096)
        elif damage == "empty":
            data = b""
        path.write_bytes(data)
        if damage == "missing":
            path.unlink()
        code, log = t.run(expect=None)
        if code != 0:
            assert code == 2 and log.count("kizuna: error:") == 1, log
            t.run(options=["--restart"])
        t.check_done(digest, log=f"{damage}\n{log}")


def damaged_segment(t):
    digest = t.whole()
    for damage in ("flip", "cut", "missing", "link"):
        t.stop_with(2)
        path = t.folder() / "000000.segment"
        data = bytearray(path.read_bytes())
        if damage == "flip":
            data[len(data) // 2] ^= 4
            path.write_bytes(data)
        elif damage == "cut":
            path.write_bytes(data[:-1])
        else:
            path.unlink()
        if damage == "link":
            path.symlink_to("/etc/passwd")
        code, log = t.run(expect=None)
        if damage == "flip":
            assert code == 1 and "is damaged" in log, log
        if code != 0:
            _, log = t.run()
        t.check_done(digest, log=f"{damage}\n{log}")


def two_at_once(t):
    digest = t.whole()
    t.clean()
    process = t.start()
    while process.poll() is None and not (t.folder() / "journal").exists():
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGSTOP)
    _, log = t.run(expect=1)
    assert "another run is making it" in log, log
    os.kill(process.pid, signal.SIGCONT)
    process.communicate()
    t.check_done(digest)


def cancelled(t):
    """Ctrl-C keeps what is finished, and nothing when there is nothing."""
    digest = t.whole()
    t.clean()
    process = t.start()
    while process.poll() is None and not t.has_segments(1):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    log = process.communicate()[1]
    assert process.returncode == 255, log
    assert not (t.work / "out.mkv").exists()
    assert "the same command goes on" in log, log
    t.run()
    t.check_done(digest)
    process = t.start(source="in.mkv", out="out2.mkv")
    while process.poll() is None and not (t.folder("out2.mkv") / "journal").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 255
    assert not t.folder("out2.mkv").exists(), "there was nothing to keep"


def clock_set_back(t):
    digest = t.whole()
    t.stop_with(1)
    t.run(env=t.preload(KZ_CLOCK=-86400 * 400))
    t.check_done(digest)


def frames_kept(t):
    """Frames that take long are kept one by one."""
    ffmpeg("-i in.mkv -an -vf scale=640:480 -t 0.4 -c:v ffv1", "slow.mkv", t.work)
    options = ["-d", "reference", "-m", "anime-6b", "--vf", "scale=64:48"]
    digest = t.whole("slow.mkv", options=options)
    t.clean()
    frames = t.folder() / "000000.frames"
    t.kill_after(lambda: frames.exists() and frames.stat().st_size > 100000, source="slow.mkv", options=options)
    assert frames.exists(), "no frame was kept"
    data = frames.read_bytes()
    frames.write_bytes(data[:-7])
    _, log = t.run("slow.mkv", options=options)
    found = re.search(r"(\d+) more were kept", log)
    assert found and int(found[1]) >= 1, log
    t.check_done(digest, log=log)


def without(t):
    """Where it can't be, one line says why."""
    for options, text in ((["--x265-params", "keyint=50"], "resume  off: x265's keyint is about the whole video"),
                          (["--x265-params", "aq-mode=3:open-gop=0"], "resume  off: x265's open-gop"),
                          (["-f", "mkv"], None)):
        out = "-" if text is None else "out.mkv"
        t.clean()
        _, log = t.run(out=out, options=["--frames", "5", *options])
        assert (text or "resume  off: the output is a pipe") in log, log
        assert not t.folder(out).exists()
    t.clean()
    process = t.start(options=["--no-resume"])
    time.sleep(t.seconds / 2 if hasattr(t, "seconds") else 0.5)
    process.kill()
    log = process.communicate()[1]
    assert not t.folder().exists() and "resume" not in log, log
    for left in t.work.glob(".out.mkv.*"):
        left.unlink()


TESTS = [killed_at_random, killed_while_tidying_up, killed_by_writes, torn_writes, full_disk, broken_disk,
         containers, filters, reuse, encoders, outputs, linked_output, without_links, names, faster_than_anew, changed_options,
         other_engine, damaged_journal, damaged_segment, two_at_once, cancelled, clock_set_back, frames_kept,
         without]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kizuna")
    parser.add_argument("fault")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    failures = number = 0
    # Whoever starts this behind a shell has SIGINT ignored, which is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="kz-resume-") as work:
        t = Test(args, work)
        for test in TESTS:
            if not re.search(args.only, test.__name__):
                continue
            number += 1
            try:
                test(t)
                print(f"ok {number} - {test.__name__.replace('_', ' ')}", flush=True)
            except Exception as error:
                failures += 1
                text = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
                print("# " + text.replace("\n", "\n# "))
                print(f"not ok {number} - {test.__name__.replace('_', ' ')}", flush=True)
            t.clean()
    print(f"1..{number}")
    return failures != 0


if __name__ == "__main__":
    sys.exit(main())
