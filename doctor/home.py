"""envdoc's own folder: the only place that it writes to without being told a path.

~/.envdoc (or ENVDOC_HOME)
├── current -> envs/0002-cpu-py311-...   the generation that is switched to
├── envs/NNNN-PROFILE-LOCKHASH12/        one generation each: a virtual environment and its receipt
├── replaced.json                        which environments each generation was built in place of
├── variables.json                       settings of `fix`, for run, shell and train; `fix --undo` takes the last back
├── last-check.json                      what the probes of the last check saw, for the plan
├── rate.json                            how fast the last download came
├── tmp/, models/, caches/               folders that a setting points to, where there is one
├── wheels/                              parts and wheels of an unfinished installation, to be resumed
├── journal.jsonl                        what was built, switched to, rolled back and removed, and when
└── lock                                 held while a generation is built or switched to
"""

import os
from pathlib import Path
from typing import Mapping, Optional


def home(environ: Optional[Mapping[str, str]] = None) -> Path:
    """envdoc's folder, absolute; it need not exist yet."""
    values = os.environ if environ is None else environ
    return Path(values.get("ENVDOC_HOME") or Path.home() / ".envdoc").expanduser().absolute()


def current_python(folder: Path) -> Optional[Path]:
    """The interpreter of the generation that is switched to, or None where there is none."""
    python = folder / "current" / "bin" / "python"
    return python if python.exists() else None
