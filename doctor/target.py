"""Which interpreter is examined: the doctor is not the patient.

In this order: `--python`; the active virtual environment; the active conda environment; the generation that
`envdoc fix` switched to; `python3` on PATH. Three active environments come after a generation: conda's `base` and
any environment without torch (often the one that holds envdoc itself), since nobody chose them for training, and
the one that the generation was built in place of.
"""

import os
import shutil
from pathlib import Path
from typing import Mapping, Optional

from envdoc.doctor.errors import TargetError
from envdoc.doctor.finding import Target
from envdoc.doctor.home import current_problem, current_python
from envdoc.doctor.replaced import is_replaced


def choose_target(python: Optional[str], environ: Mapping[str, str], home: Path) -> Target:
    """The target and the reason for it.

    Raises TargetError where `python` names nothing that exists, or where no Python can be found at all.
    """
    if python is not None:
        return Target(_named(python, environ), "given by --python")
    generation = current_python(home)
    virtual, conda = _virtual_environment(environ), _conda_environment(environ)
    stands_in = [active for active in (virtual, conda) if active and is_replaced(home, active.parent.parent)]
    if generation and stands_in:
        told = f"It stands in for the active environment `{stands_in[0]}`; examine that with `--python` and its path."
        return Target(
            str(generation), "the current generation of `envdoc fix`", current_problem(home) or told
        )
    if virtual and not (generation and _lacks_torch(virtual)):
        note = _passed_over(generation, "a virtual environment is active (VIRTUAL_ENV)")
        return Target(str(virtual), "the active virtual environment", note)
    is_base = environ.get("CONDA_DEFAULT_ENV") == "base"
    if conda and not (generation and (is_base or _lacks_torch(conda))):
        note = _passed_over(generation, "a conda environment is active (CONDA_PREFIX)")
        return Target(str(conda), "the active conda environment", note)
    if generation:
        return Target(str(generation), "the current generation of `envdoc fix`", current_problem(home))
    for name in ("python3", "python"):
        found = shutil.which(name, path=environ.get("PATH", os.defpath))
        if found:
            return Target(found, f"{name} on PATH")
    raise TargetError(
        "No Python was found: no environment is active and PATH has no python3.",
        "Name one with `--python PATH`.",
    )


def _named(python: str, environ: Mapping[str, str]) -> str:
    path = Path(python).expanduser()
    if path.is_dir():  # a virtual environment's folder
        inside = path / "bin" / "python"
        if inside.exists():
            return str(inside.absolute())
        raise TargetError(
            f"`{python}` is a folder without bin/python, so no environment.",
            "Give the interpreter itself: `--python /path/to/venv/bin/python`.",
        )
    if os.sep in python:
        if path.exists():
            return str(path.absolute())
        raise TargetError(f"There is no interpreter at `{python}`.", "List some with `ls /usr/bin/python3*`.")
    found = shutil.which(python, path=environ.get("PATH", os.defpath))
    if found is None:
        raise TargetError(f"There is no `{python}` on PATH.", "Give a path: `--python /path/to/python`.")
    return found


def _virtual_environment(environ: Mapping[str, str]) -> Optional[Path]:
    prefix = environ.get("VIRTUAL_ENV")
    python = Path(prefix) / "bin" / "python" if prefix else None
    return python if python and python.exists() else None


def _conda_environment(environ: Mapping[str, str]) -> Optional[Path]:
    prefix = environ.get("CONDA_PREFIX")
    python = Path(prefix) / "bin" / "python" if prefix else None
    return python if python and python.exists() else None


def _lacks_torch(python: Path) -> bool:
    return not any(python.parent.parent.glob("lib/python3*/site-packages/torch"))


def _passed_over(generation: Optional[Path], reason: str) -> Optional[str]:
    if generation is None:
        return None
    return f"Not the current generation of `envdoc fix`, since {reason}; examine that with `--python {generation}`."
