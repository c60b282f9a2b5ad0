"""The branch of the snapshot about the user's scripts (`check --script FILE`): what was seen in them, and where.

What is seen does not depend on any version; whether it is a fault does, and rules decide that.
"""

from typing import Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Sighting:
    """One thing that a check looks for, in one place of a script."""

    check: str  # its name, as doctor/script/__init__.py lists them: "removed-import"
    line: int = 0  # counted from 1, within the cell where it is in one
    cell: int = 0  # of a notebook, counted from 1 over all its cells; 0 in a script
    subject: str = ""  # what it is about: "transformers.AdamW"
    text: str = ""  # the line itself, at most 120 characters


@dataclass(frozen=True)
class ScriptFile:
    """One script or notebook that was looked at."""

    path: str
    is_notebook: bool = False
    problem: str = ""  # why it could not be read, as a sentence; nothing was seen then
    problem_line: int = 0
    problem_cell: int = 0
    seen: Tuple[Sighting, ...] = ()


@dataclass(frozen=True)
class Script:
    """The scripts of one run of `check`. `checks` are the names of all checks that saw something in any of them."""

    files: Tuple[ScriptFile, ...] = ()
    checks: Tuple[str, ...] = ()
