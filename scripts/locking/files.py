"""The two forms of a lock: NAME.txt for pip and uv, and pylock.NAME.toml (PEP 751), which tells every file's size.

Neither names an index: the same bytes come from every mirror. In the pylock each wheel's `path` is its plain file
name, so that it can be installed as it is from a folder that holds the wheels. The first wheel of a package is the
one that installers take on a current Linux; the sum of their sizes is the profile's `download_bytes`.
"""

import json
import os
from pathlib import Path
from typing import Dict, List, Sequence

from .resolve import Pin


def requirements(title: str, pins: Sequence[Pin], extra: Dict[str, str]) -> str:
    """NAME.txt; `extra` gives a package one hash more (that of torch's CPU build)."""
    lines = [f"# {title} Do not edit.", "--only-binary :all:"]
    for pin in sorted(pins, key=lambda pin: pin.name):
        more = [extra[pin.name]] if pin.name in extra else []
        hashes = sorted([wheel.sha256 for wheel in pin.wheels] + more)
        words = [f"{pin.name}=={pin.version}"] + [f"--hash=sha256:{digest}" for digest in hashes]
        lines.append(" \\\n    ".join(words))
    return "\n".join(lines) + "\n"


def pylock(title: str, name: str, minor: str, pins: Sequence[Pin]) -> str:
    """pylock.NAME.toml, by package name; byte for byte the same for the same pins."""
    major, second = minor.split(".")
    lines = [
        f"# {title} Do not edit.",
        'lock-version = "1.0"',
        f'created-by = "envdoc scripts/lock {name}"',
        f'requires-python = ">={minor},<{major}.{int(second) + 1}"',
        "environments = [\"sys_platform == 'linux' and platform_machine == 'x86_64'\"]",
    ]
    for pin in sorted(pins, key=lambda pin: pin.name):
        lines += [
            "",
            "[[packages]]",
            f"name = {json.dumps(pin.name)}",
            f"version = {json.dumps(pin.version)}",
        ]
        lines.append("wheels = [")
        for wheel in pin.wheels:
            file = json.dumps(wheel.file)
            lines.append(
                f"    {{ name = {file}, path = {file}, size = {wheel.size_bytes}, "
                f'hashes = {{ sha256 = "{wheel.sha256}" }} }},'
            )
        lines.append("]")
    return "\n".join(lines) + "\n"


def pylock_path(folder: Path, name: str) -> Path:
    """Where a profile's pylock lies. PEP 751 allows no dot in NAME."""
    return folder / f"pylock.{name}.toml"


def write_all(contents: Dict[Path, str]) -> None:
    """Write every file, each by a rename, so that none is ever half there."""
    beside: List[Path] = []
    for path, text in contents.items():
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(text, encoding="utf-8")
        beside.append(temporary)
    for path, temporary in zip(contents, beside):
        temporary.replace(path)
