"""The lockfiles that ship with envdoc, and which machine each is for (lockfiles/profiles.toml)."""

import hashlib
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

from envdoc.doctor.errors import FixError
from envdoc.lockfiles import FOLDER

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class CpuBuild:
    """torch's CPU build of a profile's version, for an index that offers it: a fraction of the default wheel."""

    requirement: str  # one line for an installer: "torch==2.13.0+cpu --hash=sha256:..."
    download_bytes: int  # of the whole environment with this build
    venv_bytes: int


@dataclass(frozen=True)
class Profile:
    """One stack that was installed and trained in: what it needs of a machine, and what was measured.

    `lock` is installed always. `cuda_lock` holds the CUDA libraries that torch's default wheel needs beside it; it
    is None where `lock` holds them itself, and passed over where the index gave `cpu_build`.
    """

    name: str
    title: str
    python: str  # "3.11"
    torch: str
    cuda: str  # "12.8"; empty for a CPU profile
    driver_exact: str  # everything works from this driver on
    driver_minor: str  # CUDA minor-version compatibility: no PTX compilation below driver_exact
    torch_architectures: Tuple[str, ...]
    bitsandbytes_architectures: Tuple[str, ...]
    glibc: str
    download_bytes: int
    venv_bytes: int
    date: str
    probe: str  # what the training probe said when the lock was made, and where
    lock: Path
    cuda_lock: Optional[Path] = None
    cpu_build: Optional[CpuBuild] = None
    last_resort: bool = False  # for old drivers and an old Python; anything newer that runs is better
    machine: str = "x86_64"
    lock_sha256: str = field(default="")
    transformers: str = ""  # the versions that the lock pins
    bitsandbytes: str = ""

    @property
    def is_cpu(self) -> bool:
        """True for a profile that is meant for training on the CPU."""
        return not self.cuda


def load_profiles(folder: Path = FOLDER) -> Tuple[Profile, ...]:
    """Every profile of `folder`/profiles.toml, in its order: where two fit equally well, the first is better.

    Raises FixError where the table or a lockfile is missing or damaged (an installation that lost files).
    """
    try:
        with (folder / "profiles.toml").open("rb") as file:
            tables = tomllib.load(file)
        return tuple(_profile(folder, name, table) for name, table in tables.items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FixError(
            f"envdoc's own lockfiles in `{folder}` cannot be read: {type(error).__name__}: {error}.",
            "Install envdoc again.",
        ) from error


def _profile(folder: Path, name: str, table: Dict[str, Any]) -> Profile:
    lock, cuda_lock = folder / (name + ".txt"), folder / (name + ".cuda.txt")
    digest = hashlib.sha256(lock.read_bytes())
    if cuda_lock.exists():
        digest.update(cuda_lock.read_bytes())
    return Profile(
        name=name,
        title=table["title"],
        python=table["python"],
        torch=table["torch"],
        cuda=table["cuda"],
        driver_exact=table.get("driver_exact", ""),
        driver_minor=table.get("driver_minor", ""),
        torch_architectures=tuple(table.get("torch_architectures", ())),
        bitsandbytes_architectures=tuple(table.get("bitsandbytes_architectures", ())),
        glibc=table["glibc"],
        download_bytes=table["download_bytes"],
        venv_bytes=table["venv_bytes"],
        date=table["date"],
        probe=table["probe"],
        lock=lock,
        cuda_lock=cuda_lock if cuda_lock.exists() else None,
        cpu_build=_cpu_build(table),
        last_resort=table.get("last_resort", False),
        lock_sha256=digest.hexdigest(),
        transformers=table.get("transformers", ""),
        bitsandbytes=table.get("bitsandbytes", ""),
    )


def _cpu_build(table: Dict[str, Any]) -> Optional[CpuBuild]:
    if "cpu_build_sha256" not in table:
        return None
    requirement = f"torch=={table['torch']}+cpu --hash=sha256:{table['cpu_build_sha256']}"
    return CpuBuild(requirement, table["cpu_build_download_bytes"], table["cpu_build_venv_bytes"])
