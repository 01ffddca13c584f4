#!/usr/bin/env python3
"""Writes files of an unfinished run into a folder, as seeds for tests/fuzz_resume.c.

    tests/resume/seed.py build/release/kizuna FOLDER"""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
kizuna, corpus = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()

with tempfile.TemporaryDirectory() as work:
    os.chdir(work)
    subprocess.run([sys.executable, ROOT / "tests/tiny_model.py", "copy"], check=True)
    subprocess.run("ffmpeg -v error -f lavfi -i color=red:s=32x24:r=25:d=60 -c:v ffv1 in.mkv".split(), check=True)
    process = subprocess.Popen([kizuna, "upscale", "in.mkv", "-m", "./copy.param", "-s", "2", "--encoder-preset",
                                "ultrafast", "--progress", "off", "-o", "out.mkv"],
                               env={**os.environ, "KIZUNA_DATA_DIR": str(ROOT)})
    segment = pathlib.Path(".out.mkv.kizuna/000000.segment")
    while process.poll() is None and not pathlib.Path(".out.mkv.kizuna/000001.segment").exists():
        time.sleep(0.001)
    process.kill()
    process.wait()
    (corpus / "segment").write_bytes(b"\0" + segment.read_bytes()[:60000])
    (corpus / "short").write_bytes(b"\0" + segment.read_bytes()[-60000:])
    (corpus / "journal").write_bytes(b"\2" + (segment.parent / "journal").read_bytes())
