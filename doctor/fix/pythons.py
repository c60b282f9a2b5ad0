"""Which Python interpreters are on this machine, and which of them can make an environment."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import List, Mapping, Optional, Sequence, Set, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.fix.python_memory import PythonMemory
from envdoc.doctor.home import home

MINORS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13")
_LIMIT_SECONDS = 20.0

# `datasets` imports bz2 and lzma, pip ssl, torch ctypes: a Python compiled without their headers has none of them.
# The compiled halves are imported, since they tell the same in a third of the time.
_ASK = """
import json, os, sys, sysconfig
from importlib.machinery import PathFinder
base = getattr(sys, "_base_executable", None) or sys.executable
if base == sys.executable and sys.prefix != sys.base_prefix:
    base = os.path.realpath(base)  # before 3.11 an environment names itself as its own base
missing = [name for name in ("venv", "ensurepip") if PathFinder.find_spec(name) is None]
for name in ("_ssl", "_ctypes", "zlib", "_bz2", "_lzma", "_sqlite3"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name.lstrip("_"))
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3], "base": base,
    "implementation": "CPython" if sys.implementation.name == "cpython" else sys.implementation.name,
    "bits": 64 if sys.maxsize > 2**32 else 32,
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

    Looks on PATH, at pyenv, uv and conda, in /usr/bin, /usr/local/bin and /opt; programs before scripts. Every
    candidate is started with a time limit, all minor versions at once; one that does not answer is passed over. What
    they answered is kept in envdoc's folder, where there is one.
    """
    values = os.environ if environ is None else environ
    memory = PythonMemory(home(values))
    with ThreadPoolExecutor(
        max_workers=max(1, len(minors))
    ) as pool:  # starting interpreters is what takes the time
        found = list(pool.map(lambda minor: _best(minor, values, memory), minors))
    memory.save()
    return tuple(python for python in found if python is not None)


def _best(minor: str, environ: Mapping[str, str], memory: PythonMemory) -> Optional[Python]:
    """A usable interpreter of that minor version, or else the first with its problem."""
    first: Optional[Python] = None
    asked: Set[str] = set()
    for candidate in _candidates(minor, environ):
        real = os.path.realpath(candidate)
        if real in asked:
            continue
        asked.add(real)
        python = _recalled(real, memory) or _ask(candidate)
        if python is None:
            continue
        if not python.problem and not _is_script(real):  # what a script answers may change with anything
            told = {"minor": python.minor, "path": python.path, "version": python.version}
            memory.keep(real, told)
        if python.minor != minor:
            continue
        if not python.problem:
            return python
        first = first or python
    return first


def _recalled(real: str, memory: PythonMemory) -> Optional[Python]:
    told = memory.recall(real)
    if told is None or not {"minor", "path", "version"} <= set(told):
        return None
    return Python(told["minor"], told["path"], told["version"])


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
    files = dict.fromkeys(str(name) for name in names if name.is_file() and os.access(str(name), os.X_OK))
    return sorted(files, key=_is_script)  # pyenv's shims take half a second to say that no version is chosen


def _is_script(path: str) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


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
