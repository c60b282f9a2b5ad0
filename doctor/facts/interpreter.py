"""The target interpreter as it describes itself in a child.

The child is isolated (`-I`) and tells what the build is, whatever PYTHONPATH holds. Where a training script would see
another search path (PYTHONPATH is set, or the user's own site-packages may be on it), a second child that is not
isolated tells that path.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from envdoc.doctor.facts.self_description import SEARCH_PATH, ask, first_answer
from envdoc.doctor.facts.snapshot import Interpreter

_PATH_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR")


def describe(python: str) -> Interpreter:
    """Ask `python` what it is.

    A file that is missing, no Python, not executable, crashes or hangs gives an Interpreter with `error`: one
    sentence that says what was tried and what came back. Never raises for what the interpreter does.
    """
    obstacle = _obstacle(Path(python))
    if obstacle:
        return Interpreter(path=python, error=obstacle)
    told, error = first_answer(python)
    if told is None:
        return Interpreter(path=python, error=error)
    real: Optional[Dict[str, Any]] = None
    problem = ""
    if not told["excludes_user_site"] or any(os.environ.get(name) for name in _PATH_VARIABLES):
        real, problem = ask(python, ["-B"], SEARCH_PATH)  # None where PYTHONPATH breaks even `import site`
    return dataclasses.replace(_interpreter(python, told, real or {}), search_path_error=problem)


def _interpreter(python: str, told: Dict[str, Any], real: Dict[str, Any]) -> Interpreter:
    isolated_path = _folders(told["sys_path"])
    return Interpreter(
        path=python,
        version=told["version"],
        implementation=told["implementation"],
        prefix=told["prefix"],
        base_prefix=told["base_prefix"],
        is_virtual_environment=told["prefix"] != told["base_prefix"],
        is_conda=told["is_conda"],
        system=told["system"],
        machine=told["machine"],
        site_packages=tuple(p for p in isolated_path if Path(p).name in ("site-packages", "dist-packages")),
        sys_path=_folders(real["sys_path"]) if real else isolated_path,
        user_site_enabled=real.get("user_site_enabled", False),
        user_site=told["user_site"] or "",
        has_pip=told["has_pip"],
        openssl_version=told["openssl_version"],
        missing_modules=tuple(told["missing_modules"]),
    )


def _folders(sys_path: List[str]) -> Tuple[str, ...]:
    """Absolute entries in their order; the first entry of `-c`, the working folder, is none of the environment."""
    return tuple(dict.fromkeys(str(Path(entry).absolute()) for entry in sys_path if entry))


def _obstacle(path: Path) -> str:
    try:
        if path.is_dir():
            return f"`{path}` is a folder, not an interpreter."
        if not path.exists():
            if path.is_symlink():
                return f"`{path}` is a link to `{os.readlink(path)}`, which is not there."
            return f"There is no interpreter at `{path}`."
        if not os.access(path, os.X_OK):
            return f"`{path}` is not executable by this user."
    except OSError as error:
        return f"`{path}` cannot be looked at: {error.strerror}."
    return ""
