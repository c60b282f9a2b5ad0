"""Branches of the snapshot about packages beyond their metadata: floors in their code, remains, and a lock file."""

from typing import Tuple

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class CodeFloor:
    """A version that a package's own source asks of another, which no metadata declares."""

    owner: str
    owner_version: str = ""
    name: str = ""  # normalised: "bitsandbytes"
    minimum: str = ""  # "0.46.1"
    source: str = ""  # "transformers/utils/import_utils.py: BITSANDBYTES_MIN_VERSION"


@dataclass(frozen=True)
class StaleFiles:
    """Python files in the folder of an import name that no RECORD lists."""

    import_name: str
    place: str = ""
    count: int = 0
    examples: Tuple[str, ...] = ()


@dataclass(frozen=True)
class CondaOwned:
    """One package of the training stack that conda's own list (conda-meta) says it installed in this prefix."""

    name: str  # conda's name: "pytorch"
    version: str = ""


@dataclass(frozen=True)
class Remains:
    """What interrupted and half-undone installs left in the target's site folders."""

    set_aside: Tuple[str, ...] = ()  # "~ransformers": a folder that pip renamed and never deleted
    dangling: Tuple[str, ...] = ()  # links of the training stack's packages whose target is gone
    partial_records: Tuple[str, ...] = ()  # RECORDs that are empty or do not list themselves
    stale: Tuple[StaleFiles, ...] = ()  # not looked for by --quick
    conda: Tuple[CondaOwned, ...] = ()


@dataclass(frozen=True)
class LockEntry:
    """One requirement of a lock file, as written there."""

    name: str  # normalised
    specifier: str = ""  # "==5.23.0"; empty for a URL or a bare name
    marker: str = ""


@dataclass(frozen=True)
class Lock:
    """The lock or requirements file that the environment is compared with."""

    file: str = ""
    entries: Tuple[LockEntry, ...] = ()
