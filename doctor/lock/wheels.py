"""What the package index offers of a package for this machine: the wheels that fit, their hashes and sizes."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.pip_config import last_line
from envdoc.doctor.lock.tools import environment

SCRIPT = Path(__file__).with_name("_wheels.py")
_LIMIT_SECONDS = 900.0
_SOURCE_ONLY = 3  # newer releases without a wheel: the project has stopped making them, or never did
_OLD_NAMES = {"manylinux1": 5, "manylinux2010": 12, "manylinux2014": 17}
_INSTEAD = {
    "flash-attn": "`envdoc train` uses torch's own scaled_dot_product_attention, which has flash kernels built in.",
    "deepspeed": "For a LoRA on one machine torch's own FSDP, or one GPU with 4-bit weights, needs no DeepSpeed.",
}


@dataclass(frozen=True)
class Wheels:
    """One package on the index."""

    hashes: Tuple[str, ...]  # of every wheel of the pinned version that fits
    size_bytes: int  # of the largest of them; 0 where the index does not tell
    glibc_minor: int  # 28 for manylinux_2_28, the least of those that fit; 0 for pure Python
    versions: Tuple[str, ...]  # those with a wheel that fits, oldest first
    source_versions: Tuple[str, ...]  # those with source


def look_up(tool: Path, pins: Mapping[str, Optional[str]], work: Path) -> Dict[str, Wheels]:
    """What pip finds for each name, by its own configuration. Raises FixError where the index does not answer."""
    if not pins:
        return {}
    done = run(
        [str(tool), str(SCRIPT)],
        _LIMIT_SECONDS,
        env=environment(work),
        cwd=str(work),
        stdin=json.dumps(dict(pins)),
    )
    try:
        told = json.loads(done.stdout.splitlines()[-1]) if done.ok else None
    except (ValueError, IndexError):
        told = None
    if not isinstance(told, dict):
        raise FixError(
            f"The package index could not be read for hashes: {last_line(done.stderr or done.stdout)}",
            "`pip config list` shows the index that was asked.",
        )
    return {name: _wheels(row) for name, row in told.items()}


def _wheels(row: Mapping[str, List[Dict[str, object]]]) -> Wheels:
    files = row["wheels"]
    floors = [_glibc_minor(str(file["file"])) for file in files]
    return Wheels(
        hashes=tuple(sorted({str(file["sha256"]) for file in files})),
        size_bytes=max([int(str(file["size_bytes"])) for file in files], default=0),
        glibc_minor=min(floors, default=0),
        versions=tuple(str(version) for version in row["versions"]),
        source_versions=tuple(str(version) for version in row["source_versions"]),
    )


def _glibc_minor(file: str) -> int:
    """The least glibc 2.N that one of the wheel's platform tags needs."""
    found = []
    for tag in parse_wheel_filename(file)[3]:
        new = re.match(r"manylinux_2_(\d+)_", tag.platform)
        old = tag.platform.split("_")[0]
        found.append(int(new.group(1)) if new else _OLD_NAMES.get(old, 0))
    return min(found, default=0)


def refuse_sources(
    requirements: Sequence[str], chosen: Mapping[str, str], offered: Mapping[str, Wheels]
) -> None:
    """Raise FixError for an addition whose releases come as source, so that only a forgotten old wheel was found.

    A requirement with `==` is taken at its word. `chosen` maps packages to the versions that were resolved.
    """
    for text in requirements:
        requirement = Requirement(text)
        name = str(canonicalize_name(requirement.name))
        if name not in chosen or name not in offered or "==" in str(requirement.specifier):
            continue
        picked, have = Version(chosen[name]), {Version(v) for v in offered[name].versions}
        newer = [
            version
            for version in map(Version, offered[name].source_versions)
            if version > picked and version not in have and not version.is_prerelease
            and requirement.specifier.contains(version)
        ]  # fmt: skip
        if newer and (picked.is_prerelease or len(newer) >= _SOURCE_ONLY):
            raise source_only(name, str(max(newer)), str(picked))


def source_only(name: str, newest: str, wheel: str = "") -> FixError:
    """The refusal of a package that would have to be compiled."""
    but = f" (the last wheel is {wheel}, long before)" if wheel else ""
    return FixError(
        f"{name} {newest} is on the package index as source only{but}, and envdoc compiles nothing: what a compiler "
        "makes of it differs from machine to machine, and can be neither hashed nor proved.",
        _INSTEAD.get(name, "")
        or f"Leave {name} out; or build its wheel once, put it into a folder, and name that in pip's `find-links`.",
    )
