"""pip with nothing but the folder `wheels` to install from."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path


def put_wheel(file: str, requires_python: str = "") -> None:
    """An empty wheel of that file name."""
    name, version = file.split("-")[:2]
    Path("wheels").mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += f"Requires-Python: {requires_python}\n" if requires_python else ""
    with zipfile.ZipFile(Path("wheels", file), "w") as wheel:
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", metadata)
        wheel.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: false\n")
        wheel.writestr(f"{name}-{version}.dist-info/RECORD", "")


def pip_says(*arguments: str) -> str:
    """What pip prints; PIP_ variables and configuration files are not read."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    environment["PIP_CONFIG_FILE"] = os.devnull
    run = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    return run.stdout + run.stderr


def offered(requirement: str, *target: str) -> str:
    """What pip prints when it looks in that folder for a wheel of `requirement` for CPython on `target`."""
    look = ["download", "--no-deps", "--no-index", "--find-links", "wheels", "--only-binary", ":all:"]
    return pip_says(*look, "--dest", "out", "--implementation", "cp", *target, requirement)
