"""Which Python interpreters are on this machine, and which of them can make an environment."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError

MINORS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
_LIMIT_SECONDS = 20.0

# `datasets` imports bz2 and lzma, pip ssl, torch ctypes: a Python compiled without their headers has none of them.
_ASK = """
import importlib, json, os, platform, struct, sys, sysconfig
base = getattr(sys, "_base_executable", None) or sys.executable
if base == sys.executable and sys.prefix != sys.base_prefix:
    base = os.path.realpath(base)  # before 3.11 an environment names itself as its own base
missing = []
for name in ("venv", "ensurepip", "ssl", "ctypes", "zlib", "bz2", "lzma", "sqlite3"):
    try:
        importlib.import_module(name)
    except ImportError:
        missing.append(name)
print(json.dumps({
    "version": platform.python_version(), "base": base,
    "implementation": platform.python_implementation(), "bits": 8 * struct.calcsize("P"),
    "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")), "missing": missing,
}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter that was started and asked. `problem` says why it cannot make an environment; empty: it can."""

    minor: str  # "3.11"
    path: str  # of the base interpreter, never of an environment made from it
    version: str = ""
    problem: str = ""
    hint: str = ""


def available_pythons(
    environ: Optional[Mapping[str, str]] = None, minors: Sequence[str] = MINORS
) -> Tuple[Python, ...]:
    """The best interpreter of each minor version that was found: a usable one, or else the first with its problem.

    Looks on PATH, at pyenv, uv and conda, in /usr/bin, /usr/local/bin and /opt. Every candidate is started with a
    time limit; one that does not answer is passed over (pyenv's shims do not, where a version is not chosen).
    """
    values = os.environ if environ is None else environ
    found: Dict[str, Python] = {}
    asked: Dict[str, Optional[Python]] = {}
    for minor in minors:
        for candidate in _candidates(minor, values):
            real = os.path.realpath(candidate)
            if real not in asked:
                asked[real] = _ask(candidate)
            python = asked[real]
            if python is None or python.minor != minor:
                continue
            if minor not in found or (found[minor].problem and not python.problem):
                found[minor] = python
            if not found[minor].problem:
                break
    return tuple(found[minor] for minor in minors if minor in found)


def _candidates(minor: str, environ: Mapping[str, str]) -> List[str]:
    """Existing files that may be that Python, likeliest first, each once."""
    home = Path(environ.get("HOME") or Path.home())
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    folders = [Path(entry) for entry in environ.get("PATH", os.defpath).split(os.pathsep) if entry]
    folders += sorted((pyenv / "versions").glob(minor + ".*/bin"), reverse=True)
    folders += [Path("/usr/bin"), Path("/usr/local/bin")]
    folders += sorted(Path("/opt").glob("*/bin")) + sorted(Path("/opt").glob("python/*/bin"))
    folders += sorted((home / ".local/share/uv/python").glob(f"cpython-{minor}.*/bin"))
    folders += [home / name / "bin" for name in ("miniconda3", "miniforge3", "anaconda3")]
    names = [folder / name for name in ("python" + minor, "python3") for folder in folders]
    if minor == ".".join(str(part) for part in sys.version_info[:2]):
        names.insert(0, Path(sys.executable))
    return list(
        dict.fromkeys(str(name) for name in names if name.is_file() and os.access(str(name), os.X_OK))
    )


def _ask(path: str) -> Optional[Python]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = run([path, "-I", "-c", _ASK], timeout_seconds=_LIMIT_SECONDS, env=environment)
        told = json.loads(done.stdout.strip().splitlines()[-1]) if done.ok else None
    except (EnvdocError, ValueError, IndexError):
        return None
    if not isinstance(told, dict) or not told["version"].startswith("3."):
        return None
    minor = ".".join(told["version"].split(".")[:2])
    problem, hint = _problem(told, minor)
    return Python(minor, told["base"], told["version"], problem, hint)


def _problem(told: Mapping[str, object], minor: str) -> Tuple[str, str]:
    missing = told["missing"]
    assert isinstance(missing, list)
    if told["implementation"] != "CPython" or told["bits"] != 64 or told["free_threaded"]:
        return "is not a 64-bit CPython with the usual interpreter lock, which the wheels are built for", ""
    if "venv" in missing or "ensurepip" in missing:
        return "cannot make environments: its venv module is not installed", venv_hint(minor)
    if missing:
        return f"was built without {', '.join(missing)}, which the training libraries import", ""
    return "", ""


def venv_hint(minor: str) -> str:
    """The command that installs a Python's venv module on the systems that split it off."""
    return f"On Debian and Ubuntu: `sudo apt-get install python{minor}-venv`."


def ask(path: str) -> Optional[Python]:
    """The interpreter at that path, or None where none answers there."""
    return _ask(path)
