"""What the dynamic loader would do for torch with the present variables: a branch of the snapshot."""

from typing import Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Override:
    """A library that a variable of the loader puts in the place of the one that would be taken without it."""

    soname: str  # "libcudnn.so.9", as it is asked for
    taken: str  # the file that is taken
    instead_of: str  # the file that is taken without LD_LIBRARY_PATH and LD_PRELOAD
    by: str  # "LD_LIBRARY_PATH", "LD_PRELOAD" or "/etc/ld.so.preload"
    asked_by: str = ""  # the library whose request it answers
    taken_version: str = ""  # "9.1.0"; empty where neither file nor package tells it
    own_version: str = ""
    is_own: bool = False  # what is displaced belongs to the target
    is_same: bool = False  # both files have the same size and beginning: a copy of one release
    problem: str = ""  # why the file that is taken cannot be loaded
    missing_versions: Tuple[str, ...] = ()  # symbol versions that are asked for and that it lacks
    missing_symbols: Tuple[str, ...] = ()  # symbols that are asked for, the displaced file has, and it lacks


@dataclass(frozen=True)
class Preload:
    """One library that is put into every process, or would be."""

    name: str  # as it is written
    by: str = "LD_PRELOAD"  # or "/etc/ld.so.preload"
    path: str = ""  # the file that is found; empty where none is
    problem: str = ""  # "gone", "machine" (for another machine) or "damaged": the loader says so and goes on


@dataclass(frozen=True)
class Loading:
    """The model's answers; `modelled` is False where nothing was there to be judged (no torch, no variables)."""

    modelled: bool = False
    overrides: Tuple[Override, ...] = ()
    preloads: Tuple[Preload, ...] = ()
    taken: Tuple[str, ...] = ()  # files of CUDA, cuDNN and NCCL that a variable leads torch to
    asked: Tuple[str, ...] = ()  # the sonames of CUDA, cuDNN and NCCL that torch asks for
