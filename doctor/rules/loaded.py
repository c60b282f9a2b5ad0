"""Rules about what was in the process after torch had run: the libraries loaded against those installed."""

import re
from pathlib import PurePosixPath
from typing import Dict, List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.loading import displacing
from envdoc.doctor.rules.machine import require_cuda_torch, shorten, torch_name
from envdoc.doctor.rules.probe_reading import ran
from envdoc.doctor.rules.registry import Problem, Skip, rule

_LIBRARY = re.compile(
    r"^lib(cudart|cublas|cublasLt|cudnn\w*|nccl|nvrtc|nvJitLink|cusparse|cusolver|cufft|curand|cupti)\.so\.(\d+)"
)
# nvidia's wheel that brings the library, without the CUDA release at the end of its name.
_WHEELS = {
    "cudart": "nvidia-cuda-runtime",
    "cublasLt": "nvidia-cublas",
    "nvrtc": "nvidia-cuda-nvrtc",
    "nvJitLink": "nvidia-nvjitlink",
    "cupti": "nvidia-cuda-cupti",
}


@rule("CFG073")
def loaded_from_outside(machine: Snapshot) -> List[Problem]:
    """A library that nvidia's wheels brought was loaded from somewhere else."""
    torch, _ = require_cuda_torch(machine)
    known = {one.taken for one in displacing(machine)}
    problems = []
    by_folder: Dict[str, List[str]] = {}
    for path in _loaded(machine, "loaded_from_outside"):
        told = _named(path)
        if told and path not in known and _wheel(machine, *told):
            by_folder.setdefault(str(PurePosixPath(path).parent), []).append(path)
    for folder, paths in by_folder.items():
        name, major = _named(paths[0]) or ("", "")
        problems.append(
            Problem(
                {
                    "torch": torch_name(torch),
                    "library": shorten(PurePosixPath(paths[0]).name, 26),
                    "path": paths[0],
                    "wheel": _wheel(machine, name, major),
                    "way": _way(machine, folder),
                },
                evidence=tuple(paths[:8]),
                affects=("torch",),
            )
        )
    return problems


@rule("CFG074")
def loaded_twice(machine: Snapshot) -> List[Problem]:
    """One library of CUDA, cuDNN or NCCL was loaded from two files at once."""
    require_cuda_torch(machine)
    found: Dict[Tuple[str, str], List[str]] = {}
    for path in _loaded(machine):
        told = _named(path)
        if told:
            found.setdefault(told, []).append(path)
    return [
        Problem(
            {
                "library": f"lib{name}.so.{major}",
                "first": paths[0],
                "second": paths[1],
            },
            evidence=tuple(paths[:8]),
            affects=("torch",),
        )
        for (name, major), paths in found.items()
        if len(paths) > 1
    ]


def _loaded(machine: Snapshot, field: str = "loaded_libraries") -> List[str]:
    told = ran(machine, "torch_runs").data.get(field)
    if told is None:
        raise Skip("the probe did not tell which libraries were loaded")
    return [str(path) for path in told]


def _named(path: str) -> Optional[Tuple[str, str]]:
    match = _LIBRARY.match(PurePosixPath(path).name)
    return (match.group(1), match.group(2)) if match else None


def _wheel(machine: Snapshot, name: str, major: str) -> str:
    """`nvidia-cudnn-cu12 9.1.0.70`, where such a wheel is installed."""
    stem = "nvidia-cudnn" if name.startswith("cudnn") else _WHEELS.get(name, f"nvidia-{name.lower()}")
    pattern = re.compile(rf"^{stem}(-cu\d+)?$")
    found = [package for package in machine.packages if pattern.match(package.name)]
    return f"{found[0].name} {found[0].version}" if found else ""


def _way(machine: Snapshot, folder: str) -> str:
    for name in ("LD_LIBRARY_PATH", "LD_PRELOAD"):
        entries = re.split("[:; ]", machine.variables.get(name, ""))
        if any(
            entry.rstrip("/") == folder or str(PurePosixPath(entry).parent) == folder
            for entry in entries
            if entry
        ):
            return f"{name} leads there"
    return "no variable leads there: the libraries' own paths or the system's list of folders do"
