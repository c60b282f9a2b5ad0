"""Which programs and which search path a shell leads to: a branch of the snapshot."""

from typing import Optional, Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Launcher:
    """A program of a Python package: what PATH starts, and what it runs on."""

    name: str  # "torchrun"
    path: str  # the first of that name on PATH
    interpreter: str = ""  # from its first lines; empty where they do not tell
    is_there: bool = True  # that interpreter is a file
    is_targets: bool = False  # it lies in the target's folder, links followed
    own: str = ""  # the target's own program of that name, where it has one


@dataclass(frozen=True)
class ForeignScripts:
    """Programs in the target's own folder that run on another interpreter."""

    interpreter: str
    is_there: bool = True
    count: int = 0
    examples: Tuple[str, ...] = ()


@dataclass(frozen=True)
class PathEntry:
    """One folder that PYTHONPATH names."""

    path: str
    exists: bool = True
    python: str = ""  # "3.8": the Python that it is for, by its name or by the compiled modules in it
    compiled: Tuple[
        str, ...
    ] = ()  # import names with compiled modules for that Python and none for the target's


@dataclass(frozen=True)
class Shell:
    """Everything of this file at once; empty fields mean "nothing there" or "not told"."""

    launchers: Tuple[Launcher, ...] = ()
    foreign_scripts: Tuple[ForeignScripts, ...] = ()
    activate_prefix: str = ""  # what bin/activate of the target sets VIRTUAL_ENV to
    virtual_env_exists: Optional[bool] = (
        None  # whether the folder in VIRTUAL_ENV has a bin/python; None: not set
    )
    python_is_targets: Optional[bool] = (
        None  # the first python on PATH lies in the target's folder, links followed
    )
    pip_is_targets: Optional[bool] = None  # likewise the first pip
    python_path: Tuple[PathEntry, ...] = ()
    customisation: Tuple[str, ...] = ()  # sitecustomize and usercustomize from outside the target
    start_error: str = ""  # why the target does not start with PYTHONPATH and PYTHONHOME as they are
