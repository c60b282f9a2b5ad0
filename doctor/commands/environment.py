"""Commands that enter the current generation: run and shell."""

import json
import os
import shutil
from pathlib import Path
from typing import Dict, List

import typer

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.fix.new_environment import base_problem
from envdoc.doctor.fix.removal import RECEIPT
from envdoc.doctor.home import current_problem, current_python, home


def register(app: typer.Typer) -> None:
    """Add this module's commands to the application."""
    app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(run)
    app.command()(shell)


def run(command: List[str] = typer.Argument(..., metavar="-- CMD [ARG ...]")) -> None:
    """Run a command in the current generation: `envdoc run -- python train.py`."""
    _enter(command)


def shell() -> None:
    """Open your shell in the current generation; `exit` leaves it."""
    _enter([os.environ.get("SHELL") or "/bin/sh"])


def _enter(command: List[str]) -> None:
    environment = activated(dict(os.environ), home())
    program = shutil.which(command[0], path=environment["PATH"])
    if program is None:
        raise EnvdocError(
            f"There is no command `{command[0]}` in the current generation or on PATH.",
            "Python itself is `envdoc run -- python`.",
        )
    os.execve(program, command, environment)


def activated(environ: Dict[str, str], folder: Path) -> Dict[str, str]:
    """The variables that activating the current generation would set, with what `envdoc fix` settled in place.

    The generation's own path is used and not the `current` link, so that a later switch does not change a running
    process. Raises EnvdocError where nothing has been switched to, and where the Python that it was built from is gone
    or is another one now.
    """
    from envdoc.doctor.fix.settings import use

    prefix = (folder / "current").resolve()
    problem = current_problem(folder)
    if not problem and current_python(folder) is None:
        raise EnvdocError("There is no current generation yet.", "Build one with `envdoc fix --apply`.")
    problem = problem or base_problem(prefix, _built_with(prefix))
    if problem:
        raise EnvdocError(
            problem, "Build one anew with `envdoc fix --apply`, or go back with `envdoc rollback`."
        )
    changed = {name: value for name, value in environ.items() if name != "PYTHONHOME"}
    changed["VIRTUAL_ENV"] = str(prefix)
    changed["PATH"] = f"{prefix / 'bin'}{os.pathsep}{environ.get('PATH', os.defpath)}"
    use(changed, folder)
    return changed


def _built_with(prefix: Path) -> str:
    """The version of Python in the generation's receipt; "" where that cannot be read."""
    try:
        version = json.loads((prefix / RECEIPT).read_text(encoding="utf-8"))["python_version"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return version if isinstance(version, str) else ""
