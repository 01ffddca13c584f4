"""The packages of sources.json."""

import json
import pathlib


def listed():
    """Each as a dict: package, version, role, sha256."""
    return json.loads((pathlib.Path(__file__).parent / "sources.json").read_text())


def packages(*roles):
    """Names of those for training, for validation or of the hold-out."""
    return tuple(s["package"] for s in listed() if s["role"] in roles)
