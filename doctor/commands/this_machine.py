"""The facts of the machine that envdoc runs on, where a log looks as if it came from it."""

import json
import os
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple


def here(folders: Sequence[str], told: Mapping[str, Any]) -> Optional[Tuple[Mapping[str, Any], str]]:
    """The snapshot's JSON of this machine and why it was taken; None where the log is another's.

    `folders` are the site-packages that the log's paths name: one that is here, with no version that differs from what
    the log tells (`told`), makes the log this machine's. Where the log names none, at least two of the versions that it
    tells must be those of the chosen interpreter. Nothing is run but the interpreter's description of itself.
    """
    from envdoc.doctor.errors import EnvdocError
    from envdoc.doctor.home import home
    from envdoc.doctor.target import choose_target
    from envdoc.doctor.why.log_facts import same_machine

    mine = next((folder for folder in folders if _is_here(folder)), None)
    if (folders and mine is None) or (not folders and _told_versions(told) < 2):
        return None
    python = _interpreter(mine) if mine else None
    try:
        target = choose_target(python, os.environ, home())
        snapshot = _look(target)
    except (EnvdocError, OSError):
        return None
    verdict = same_machine(told, snapshot)
    if verdict is False or (verdict is None and mine is None):
        return None
    return snapshot, "those of this machine, as the log's paths or versions are its own"


def _told_versions(told: Mapping[str, Any]) -> int:
    packages = told.get("packages")
    return (len(packages) if isinstance(packages, Mapping) else 0) + bool(told.get("torch"))


def _is_here(folder: str) -> bool:
    """Images share paths: /usr/local/lib is in every container, so that only the versions can tell there."""
    path = Path(folder).expanduser()
    try:
        return path.is_dir()
    except OSError:
        return False


def _interpreter(folder: str) -> Optional[str]:
    """The interpreter of .../lib/python3.11/site-packages, where there is one."""
    path = Path(folder).expanduser()
    python = path.parents[2] / "bin" / path.parent.name if len(path.parents) > 2 else None
    return str(python) if python is not None and python.is_file() else None


def _look(target: Any) -> Mapping[str, Any]:
    from envdoc.doctor.facts.collect import collect

    facts: Mapping[str, Any] = json.loads(collect(target, quick=True).to_json())
    return facts
