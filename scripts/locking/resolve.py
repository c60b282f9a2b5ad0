"""What a profile's NAME.in comes to: the pins of uv and of pip-tools, which must agree, and the wheels of each pin.

Hashes and sizes are those that the index tells for the wheels which the profile's platform can install (Linux x86_64,
one Python); a wheel for another system is never locked.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple
from urllib.parse import unquote, urlsplit

import tomllib
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import canonicalize_name, parse_wheel_filename

from .children import LockError, run, uv

OF_TORCH = re.compile(r"(nvidia-|cuda-|torch==|triton==|setuptools==|sympy==|networkx==|fsspec==)")
NEWEST_GLIBC, OLDEST_GLIBC = 39, 5  # of manylinux tags: glibc 2.39 down to 2.5
OLD_TAGS = {17: "manylinux2014_x86_64", 12: "manylinux2010_x86_64", 5: "manylinux1_x86_64"}
GLIBC_OF = {
    tag: minor
    for minor in range(NEWEST_GLIBC, OLDEST_GLIBC - 1, -1)
    for tag in filter(None, [f"manylinux_2_{minor}_x86_64", OLD_TAGS.get(minor)])
}


@dataclass(frozen=True)
class Wheel:
    """One file that the platform can install."""

    file: str
    size_bytes: int
    sha256: str
    glibc_minor: int  # 28 for glibc 2.28; 0 where it asks for none
    rank: int  # the lower, the sooner an installer takes it


@dataclass(frozen=True)
class Pin:
    """A package at its version, with its wheels, the one that installers take first."""

    name: str
    version: str
    wheels: Tuple[Wheel, ...]


def minor_of(name: str) -> str:
    """The Python that a profile's name tells: "3.11" for "cpu-py311". Raises LockError."""
    told = re.search(r"\bpy3(\d+)", name)
    if not told:
        raise LockError(f"The name `{name}` must tell the Python, as in `cpu-py311`.")
    return f"3.{told.group(1)}"


def resolve(source: Path, constraints: List[str], minor: str, python: str, work: Path) -> List[Pin]:
    """What uv makes of NAME.in, by name, each pin with its wheels. Raises LockError."""
    if not source.is_file():
        raise LockError(f"There is no `{source}`; write the packages of the profile there first.")
    return _with_uv(minor, python, source, constraints, work)


def compare(pins: List[Pin], source: Path, constraints: List[str], python: str, work: Path) -> None:
    """Raises LockError where pip-tools, on the profile's own Python, comes to other pins."""
    ours = {(pin.name, pin.version) for pin in pins}
    theirs = set(_with_pip_tools(python, source, constraints, work).items())
    if theirs != ours:
        raise LockError(f"pip-tools and uv disagree: {sorted(theirs ^ ours)}.")


def constraints_of(name: str, folder: Path, like: Optional[str], work: Path) -> List[str]:
    """NAME.constraints.txt, and the pins of the lock LIKE, which is NAME itself where only a proof is renewed.

    Of another profile's lock everything is kept but torch and what comes with its CUDA, so that profiles of
    one day share one stack.
    """
    bounds = folder / (name + ".constraints.txt")
    words = ["-c", str(bounds)] if bounds.exists() else []
    if like is None:
        return words
    locks = [folder / f"{like}.txt", folder / f"{like}.cuda.txt"]
    kept = [pin for file in locks if file.is_file() for pin in _pins_in(file)]
    if not kept:
        raise LockError(f"There is no lock `{like}.txt` in `{folder}` to take pins from.")
    if like != name:
        kept = [pin for pin in kept if not OF_TORCH.match(pin)]
    asked = dict(
        pin.split("==") for pin in _pins_in(folder / f"{name}.in")
    )  # a pin that was changed by hand wins
    kept = [pin for pin in kept if asked.get(pin.split("==")[0], pin.split("==")[1]) == pin.split("==")[1]]
    (work / "kept.txt").write_text("".join(pin + "\n" for pin in kept), encoding="utf-8")
    return [*words, "-c", str(work / "kept.txt")]


def _pins_in(file: Path) -> List[str]:
    return re.findall(r"^[a-z0-9-]+==[^\s;]+", file.read_text(encoding="utf-8"), re.MULTILINE)


def _with_uv(minor: str, python: str, source: Path, constraints: List[str], work: Path) -> List[Pin]:
    resolved = work / "pylock.toml"
    uv(
        "pip", "compile", "-q", "--python", python, "--python-platform", "x86_64-manylinux_2_28",
        "--only-binary", ":all:", "--format", "pylock.toml", "-o", resolved, *constraints, source,
    )  # fmt: skip
    order = _order(minor)
    pins = []
    for package in tomllib.loads(resolved.read_text(encoding="utf-8"))["packages"]:
        wheels = [wheel for entry in package["wheels"] for wheel in [_fitting(entry, order)] if wheel]
        if not wheels:
            told = f"{package['name']} {package['version']}"
            raise LockError(f"{told} has no wheel for Python {minor}, Linux x86_64.")
        best_first = sorted(wheels, key=lambda wheel: (wheel.rank, wheel.file))
        pins.append(Pin(package["name"], package["version"], tuple(best_first)))
    return sorted(pins, key=lambda pin: pin.name)


def _order(minor: str) -> Dict[Tag, int]:
    """The tags of that Python on a Linux newer than any, best first, as an installer ranks them."""
    platforms = [*GLIBC_OF, "linux_x86_64"]
    version = tuple(int(part) for part in minor.split("."))
    interpreter = "cp" + minor.replace(".", "")
    tags = [*cpython_tags(version, platforms=platforms), *compatible_tags(version, interpreter, platforms)]
    return {tag: rank for rank, tag in reversed(list(enumerate(tags)))}


def _fitting(entry: Dict[str, object], order: Dict[Tag, int]) -> Optional[Wheel]:
    file = str(entry.get("name") or unquote(urlsplit(str(entry["url"])).path.rsplit("/", 1)[1]))
    fits = [tag for tag in parse_wheel_filename(file)[3] if tag in order]
    if not fits:
        return None
    glibc = min(GLIBC_OF.get(tag.platform, 0) for tag in fits)
    hashes, size = entry["hashes"], entry["size"]
    assert isinstance(hashes, dict) and isinstance(size, int)
    return Wheel(file, size, hashes["sha256"], glibc, min(order[tag] for tag in fits))


def _with_pip_tools(python: str, source: Path, constraints: List[str], work: Path) -> Dict[str, str]:
    """What pip-tools resolves to on that Python: package -> version.

    fast-deps reads the metadata of wheels by range requests where an index offers no metadata files; without it
    pip downloads torch whole. pip-tools' own hashes would need the JSON interface of the index (pip-tools#1670).
    """
    tools = _tools(python)
    compiled = work / "pip-tools.txt"
    run(
        tools / "bin/pip-compile", "-q", "--no-emit-index-url", "--no-emit-find-links", "--no-header",
        "--allow-unsafe", "--strip-extras", "--no-annotate",
        "--pip-args", "--use-feature=fast-deps --only-binary=:all:", *constraints, "-o", compiled, source,
    )  # fmt: skip
    lines = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", compiled.read_text(encoding="utf-8"), re.MULTILINE)
    return {str(canonicalize_name(name)): version for name, version in lines}


def _tools(python: str) -> Path:
    """pip-tools of relock.txt on that Python, kept beside pip's own cache until relock.txt changes."""
    relock = Path(__file__).resolve().parents[2] / "lockfiles" / "relock.txt"
    digest = hashlib.sha256(relock.read_bytes() + python.encode()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    tools = cache / "envdoc-lock" / f"pip-tools-{digest}"
    if not (tools / "whole").exists():
        run(python, "-m", "venv", "--clear", tools)
        run(tools / "bin/python", "-m", "pip", "install", "-q", "--require-hashes", "-r", relock)
        (tools / "whole").touch()
    return tools
