"""pip-tools in an environment of envdoc's own, made once for each Python and kept: ENVDOC_HOME/tools/pip-tools-HASH."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Callable, Dict

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.fix.failure import failure_of
from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.fix.installer import STRICT, clean_environment
from envdoc.doctor.fix.pip_config import last_line
from envdoc.doctor.fix.pythons import Python, venv_hint
from envdoc.lockfiles import lock_path

_INCOMPLETE = ".incomplete"
_VENV_SECONDS = 300.0
_INSTALL_SECONDS = 900.0


def pip_tools(python: Python, home: Path, report: Callable[[str], None]) -> Path:
    """The interpreter of an environment that holds pip-tools for that Python; built where it is not there yet.

    Every file is checked against lockfiles/relock.txt. A marker lies in the folder until it is whole, so that what
    a kill leaves is built anew. Raises FixError where it cannot be built, or where another envdoc is at work.
    """
    relock = lock_path("relock")
    words = f"{python.path} {python.version}\n".encode()
    folder = home / "tools" / ("pip-tools-" + hashlib.sha256(words + relock.read_bytes()).hexdigest()[:12])
    interpreter, marker = folder / "bin" / "python", folder / _INCOMPLETE
    if interpreter.exists() and not marker.exists():
        return interpreter
    with Generations(home).locked():
        report(f"Making `{folder.name}` with Python {python.version}: what resolves your packages.")
        shutil.rmtree(str(folder), ignore_errors=True)
        folder.mkdir(parents=True)
        marker.touch()
        try:
            _build(python, folder, relock)
        except BaseException:
            shutil.rmtree(str(folder), ignore_errors=True)
            raise
        marker.unlink()
    return interpreter


def _build(python: Python, folder: Path, relock: Path) -> None:
    made = run([python.path, "-m", "venv", str(folder)], _VENV_SECONDS)
    if not made.ok:
        raise EnvdocError(
            f"`{python.path} -m venv` failed: {last_line(made.stderr or made.stdout)}",
            venv_hint(python.minor),
        )
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--no-color", *STRICT, "-r"]
    done = run([*command, str(relock)], _INSTALL_SECONDS, env=environment(folder))
    if not done.ok:
        log = folder.parent / "pip-tools.log"
        with contextlib.suppress(OSError):
            log.write_text(done.stdout + done.stderr, encoding="utf-8")
        raise failure_of("pip", done.stdout + done.stderr, done.returncode, log)


def environment(temporary: Path) -> Dict[str, str]:
    """The caller's variables for a child that resolves: pip's own configuration holds, but for its constraints."""
    return clean_environment(
        os.environ, temporary, {"PIP_CONSTRAINT": os.devnull, "PYTHONWARNINGS": "ignore"}
    )
