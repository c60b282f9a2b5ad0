"""pip builds a package whose build asks for torch, in a build environment of its own and then in this one."""

import os
import subprocess
import sys
from pathlib import Path

from _verdict import finish

Path("thing").mkdir()
Path("thing/pyproject.toml").write_text(
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
)
Path("thing/backend.py").write_text(
    "import torch\n\n\ndef build_wheel(*_):\n    raise SystemExit('built with torch')\n"
)
environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}


def build(*options: str) -> str:
    """What pip prints."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "--isolated",
        "wheel",
        "--no-index",
        "--no-deps",
        *options,
        "./thing",
    ]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    return run.stdout + run.stderr


alone, here = build(), build("--no-build-isolation")
missing = "ModuleNotFoundError: No module named 'torch'"
finish(
    missing in alone and missing not in here and "built with torch" in here,
    missing if missing in alone else alone[-200:],
)
