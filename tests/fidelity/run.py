#!/usr/bin/env python3
"""Nothing is lost: files of every kind go through `kizuna upscale` with a network that only copies,
and what comes out is compared stream by stream, by ffprobe, ffmpeg and mkvmerge, with what went in.

    tests/fidelity/run.py build/release/kizuna [--only REGEX] [--jobs N] [--keep DIR]

Prints TAP, and before the plan a table of all cases. Needs Debian's ffmpeg and mkvtoolnix."""
import argparse
import concurrent.futures
import os
import pathlib
import re
import shlex
import shutil
import sys
import tempfile
import traceback

from files import *
from checks import *
from cases import *


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
