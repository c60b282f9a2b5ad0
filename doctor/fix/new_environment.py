"""An empty virtual environment with pip in it, and whether the Python that one was made from is still there.

`python -m venv` takes three seconds, nearly all of it for pip, which it runs to install pip. Where uv is here, uv
unpacks the same wheels, those that Python brings along (ensurepip), in a tenth of a second.
"""

import json
from pathlib import Path
from typing import List, Sequence

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError, FixError
from envdoc.doctor.fix.pip_config import last_line
from envdoc.doctor.fix.pythons import Python, venv_hint

_LIMIT_SECONDS = 300.0
_START_SECONDS = 20.0
# Debian keeps the wheels elsewhere and names the folder so; files of another version may lie in it.
_BUNDLED = """
import ensurepip, glob, json, os
folder = getattr(ensurepip, "_WHEEL_PKG_DIR", None) or os.path.join(os.path.dirname(ensurepip.__file__), "_bundled")
names = [item[0] for item in getattr(ensurepip, "_PROJECTS", [("pip",)])]
print(json.dumps([path for name in names for path in sorted(glob.glob(os.path.join(folder, name + "-*.whl")))[-1:]]))
"""


def make_environment(python: Python, folder: Path, uv: str = "", with_pip: bool = True) -> None:
    """A virtual environment in `folder`. `uv` is that program's path, or "" where it is not here.

    Without pip it takes a third of the time, and `add_pip` makes up for that. Raises FixError with venv's own words
    where it fails.
    """
    wheels = bundled_wheels(python.path) if uv and with_pip else []
    done = run(
        [python.path, "-m", "venv", *(["--without-pip"] if wheels or not with_pip else []), str(folder)],
        _LIMIT_SECONDS,
    )
    if not done.ok:
        raise FixError(
            f"`{python.path} -m venv` failed: {last_line(done.stderr or done.stdout)}",
            venv_hint(python.minor),
        )
    if wheels:
        add_pip(python, folder, uv, wheels)


def add_pip(python: Python, folder: Path, uv: str, wheels: Sequence[str]) -> None:
    """Put pip into an environment that was made without; `wheels` are those that Python brings along, or none.

    Raises FixError where that fails.
    """
    interpreter = str(folder / "bin" / "python")
    local = ["--offline", "--no-config", "--no-index", "--no-deps", "--no-progress"]
    if wheels and run([uv, "pip", "install", *local, "--python", interpreter, *wheels], _LIMIT_SECONDS).ok:
        return
    slow = run([interpreter, "-m", "ensurepip", "--upgrade", "--default-pip"], _LIMIT_SECONDS)
    if not slow.ok:
        raise FixError(
            f"pip could not be put into the new environment: {last_line(slow.stderr or slow.stdout)}",
            venv_hint(python.minor),
        )


def base_problem(environment: Path, built_with: str = "") -> str:
    """Why the Python that this environment was made from serves it no more, as one sentence; "" where it does.

    `built_with` is the version in the receipt, such as "3.11.9". A virtual environment holds links to its base:
    where that was removed it does not start, and where another minor version took its place (`python3` of a system
    that was upgraded) it starts and finds none of its packages.
    """
    interpreter = environment / "bin" / "python"
    home = _base_of(environment)
    where = f" in `{home}`" if home else ""
    if not interpreter.exists():
        return f"The Python that `{environment.name}` was built from{where} is gone."
    try:
        told = run(
            [str(interpreter), "-I", "-S", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            _START_SECONDS,
        )
    except EnvdocError as error:
        return f"The Python of `{environment.name}` does not start: {last_line(error.message)}"
    minor = told.stdout.strip()
    if not told.ok or not minor:
        return f"The Python of `{environment.name}` does not start: {last_line(told.stderr)}"
    expected = ".".join(built_with.split(".")[:2])
    if expected and minor != expected:
        return f"`{environment.name}` was built with Python {expected}, and the Python{where} is now {minor}."
    return ""


def _base_of(environment: Path) -> str:
    """The folder of the base interpreter, from pyvenv.cfg."""
    try:
        lines = (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next(
        (line.partition("=")[2].strip() for line in lines if line.split("=")[0].strip() == "home"), ""
    )


def bundled_wheels(python: str) -> List[str]:
    """The wheels that ensurepip of that Python would install; [] where they cannot be found."""
    try:
        told = run([python, "-I", "-c", _BUNDLED], _START_SECONDS)
        found = json.loads(told.stdout) if told.ok else []
    except (EnvdocError, ValueError):
        return []
    return found if any(Path(path).name.startswith("pip-") for path in found) else []
