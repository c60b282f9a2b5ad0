"""What is recorded of a profile in profiles.toml: told by its wheels, by the installed libraries, and by the tables."""

import datetime
import json
from pathlib import Path
from typing import Any, Dict, Sequence

from envdoc.doctor.facts.binaries import bitsandbytes_build
from envdoc.doctor.tables.bitsandbytes_builds import bitsandbytes_release, library_for
from envdoc.doctor.tables.cuda_drivers import exact_floor, minor_floor

from .children import LockError, run
from .prove import Proof
from .resolve import Pin

BLOCK_BYTES = 512  # of st_blocks, on every Linux
BYTECODE_OF_SOURCE = 1.21  # 185 MB of bytecode beside 153 MB of sources in two environments, 2026-11-24


def measure(name: str, minor: str, pins: Sequence[Pin], python: Path, proof: Proof) -> Dict[str, Any]:
    """Everything but the size on disk and the proof. Raises LockError where a table lacks what the profile needs."""
    version = {pin.name: pin.version for pin in pins}
    cuda = proof.cuda
    found: Dict[str, Any] = {
        "title": f"torch {version['torch']} with CUDA {cuda}, Python {minor}",
        "python": minor,
        "torch": version["torch"],
        "transformers": version["transformers"],
        "bitsandbytes": version["bitsandbytes"],
        "cuda": cuda,
        "driver_exact": exact_floor(cuda),
        "driver_minor": minor_floor(cuda),
        "torch_architectures": list(proof.torch_architectures),
    }
    if name.startswith("cpu-"):
        found["title"] = f"torch {version['torch']} for the CPU, Python {minor}"
        found["cuda"] = ""
        del found["driver_exact"], found["driver_minor"], found["torch_architectures"]
    else:
        if found["driver_exact"] is None:
            raise LockError(f"doctor/tables/cuda_drivers.toml has no row for CUDA {cuda}.")
        found["bitsandbytes_architectures"] = _bitsandbytes(version["bitsandbytes"], cuda, python)
    found["glibc"] = f"2.{max(min(wheel.glibc_minor for wheel in pin.wheels) for pin in pins)}"
    found["download_bytes"] = sum(pin.wheels[0].size_bytes for pin in pins)
    found["date"] = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    return found


def _bitsandbytes(version: str, cuda: str, python: Path) -> "list[str]":
    """The binary code in the library that bitsandbytes opens beside a torch of that CUDA, by table and by file."""
    release = bitsandbytes_release(version)
    library = library_for(version, release.cuda, cuda) if release else None
    if release is None or library is None:
        raise LockError(f"bitsandbytes {version} has no library for CUDA {cuda} (bitsandbytes_builds.toml).")
    told = run(python, "-c", "import json, sysconfig; print(json.dumps([sysconfig.get_path('platlib')]))")
    build = bitsandbytes_build(json.loads(told), version)
    there = [
        item.architectures
        for item in (build.libraries if build else ())
        if (item.backend, item.cuda) == ("cuda", library)
    ]
    in_table = release.architectures.get(library, ())
    if not there or sorted(there[0]) != sorted(in_table):
        raise LockError(
            f"bitsandbytes {version} was installed with code for {there} for CUDA {library}, and "
            f"doctor/tables/bitsandbytes_builds.toml says {in_table}."
        )
    return [name for name in in_table if name.startswith("sm_")]


def disk_bytes(environment: Path) -> int:
    """What an installation takes on the disk, its bytecode included, by the blocks of every file.

    The bytecode is reckoned from the sources, since compiling all of them takes a minute; scripts/lock prints both
    numbers where a profile already has one that was measured with every file compiled.
    """
    files, sources = 0, 0
    for path in environment.rglob("*"):
        if "__pycache__" in path.parts:
            continue
        used = path.lstat().st_blocks * BLOCK_BYTES
        files += used
        sources += used if path.suffix == ".py" and not path.is_symlink() else 0
    return files + int(sources * BYTECODE_OF_SOURCE)
