"""Fetches the packages of sources.json with apt, checks them and unpacks them into a folder.

    python3 fetch.py ../build/train/sources

Nothing is installed and nothing of the packages is run. A package whose sha256 isn't the one noted stops
everything: the data, and so the trained weights, would be others.
"""

import hashlib
import pathlib
import subprocess
import sys

import sources


def main():
    target = pathlib.Path(sys.argv[1])
    archives = target / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    for source in sources.listed():
        unpacked = target / source["package"]
        if unpacked.exists():
            continue
        archive = fetch(source, archives)
        partial = target / (source["package"] + ".partial")
        subprocess.run(["dpkg-deb", "-x", archive, partial], check=True)
        partial.rename(unpacked)
        print(source["package"], source["version"])


def fetch(source, folder):
    wanted = f"{source['package']}={source['version']}"
    before = set(folder.iterdir())
    subprocess.run(["apt-get", "download", "-q", wanted], cwd=folder, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    found = sorted(folder.glob(source["package"] + "_*.deb"), key=lambda f: f in before)
    digest = hashlib.sha256(found[0].read_bytes()).hexdigest()
    if digest != source["sha256"]:
        found[0].unlink()
        sys.exit(f"{wanted}: sha256 is {digest}, {source['sha256']} was expected")
    return found[0]


if __name__ == "__main__":
    main()
