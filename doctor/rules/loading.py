"""Rules about the dynamic loader: which libraries its variables really put in the place of the environment's own."""

import re
from pathlib import PurePosixPath
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Override, Preload, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import models, require_torch, shorten, torch_name
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers

_CUDA = re.compile(
    r"^lib(cudart|cublas|cublasLt|cudnn|nccl|nvrtc|nvJitLink|cusparse|cusparseLt|cusolver|cusolverMg|cufft|curand"
    r"|cupti|cufile|nvshmem_host|nvToolsExt)(?:_\w+)?\.so"
)
_NAMES = {"cudnn": "cuDNN", "nccl": "NCCL", "cublas": "cuBLAS", "cublasLt": "cuBLASLt"}
_CUDNN_ITSELF = re.compile(r"^libcudnn\.so")
# Their releases are numbered as CUDA's are, so that one of torch's own CUDA or newer has all that torch was built with.
_OF_CUDA = ("cudart", "nvrtc", "nvJitLink", "cublas", "cublasLt")
_DRIVER = re.compile(r"^lib(cuda|nvidia-ml)\.so(\.\d+)*$")
_FILE = "/etc/ld.so.preload"


@rule("CFG060")
def library_overridden(machine: Snapshot) -> List[Problem]:
    """A library of CUDA, cuDNN or NCCL is taken from outside in the place of another release of the target's own."""
    if not machine.loading.modelled:
        raise Skip("no variable of the loader leads to such a library, or torch's libraries ask for none")
    return [
        _override_problem(machine, family, overrides, severity)
        for (family, _, _), overrides in _groups(machine.loading.overrides).items()
        for severity in [_severity(family, overrides, _cuda(machine))]
        if severity is not None
    ]


def displacing(machine: Snapshot) -> Tuple[Override, ...]:
    """The overrides that CFG060 reports."""
    return tuple(
        override
        for (family, _, _), overrides in _groups(machine.loading.overrides).items()
        if _severity(family, overrides, _cuda(machine)) is not None
        for override in overrides
    )


def what_is_taken(machine: Snapshot, folder: str) -> str:
    """What torch takes from that folder, by the model of the loader; empty where there is no model."""
    if not machine.loading.modelled:
        return ""
    name = torch_name(require_torch(machine))
    found = [path for path in machine.loading.taken if str(PurePosixPath(path).parent) == folder.rstrip("/")]
    if not found:
        return (
            f"{name} takes none of them, since its own come first or it asks for none, but other programs may"
        )
    return f"{name} is given {', '.join(PurePosixPath(path).name for path in found[:3])} from there"


def _groups(overrides: Iterable[Override]) -> Dict[Tuple[str, str, str], List[Override]]:
    """By library (cuDNN's parts are one), folder and variable."""
    found: Dict[Tuple[str, str, str], List[Override]] = {}
    for override in overrides:
        match = _CUDA.match(override.soname)
        if match:
            folder = str(PurePosixPath(override.taken).parent)
            found.setdefault((match.group(1), folder, override.by), []).append(override)
    return found


def _severity(family: str, overrides: Sequence[Override], cuda: str) -> Optional[Severity]:
    """How much it matters under a torch for that CUDA; None where it does not."""
    if any(one.problem or one.missing_versions or one.missing_symbols for one in overrides):
        return Severity.ERROR
    other = [one for one in overrides if one.is_own and not one.is_same]
    if not other:
        return None
    taken, own = other[0].taken_version, other[0].own_version
    if not taken or not own:
        return Severity.WARNING
    order = _compared(taken, own)
    if order == 0:
        return None
    if family == "cudnn":
        # torch refuses an older minor than it was built with; parts of two releases refuse each other
        is_whole = any(_CUDNN_ITSELF.match(one.soname) for one in other)
        return Severity.INFO if order > 0 and is_whole else Severity.ERROR
    is_enough = order > 0 or (family in _OF_CUDA and _compared(taken, cuda) >= 0)
    return Severity.INFO if is_enough and other[0].by == "LD_LIBRARY_PATH" else Severity.WARNING


def _release(version: str) -> str:
    """The first three numbers: four of them are an IP address to everything that hides those."""
    return shorten(".".join(version.split(".")[:3]), 18)


def _cuda(machine: Snapshot) -> str:
    return (machine.torch.cuda if machine.torch else None) or ""


def _compared(one: str, other: str) -> int:
    """-1, 0 or 1, over as many numbers as both have: a file says 9.1.0 where its wheel says 9.1.0.70."""
    left, right = numbers(one), numbers(other)
    length = min(len(left), len(right))
    return (left[:length] > right[:length]) - (left[:length] < right[:length])


def _override_problem(
    machine: Snapshot, family: str, overrides: Sequence[Override], severity: Severity
) -> Problem:
    worst = next(
        (one for one in overrides if one.problem or one.missing_versions or one.missing_symbols), overrides[0]
    )
    return Problem(
        {
            "by": worst.by,
            "library": _NAMES.get(family, f"lib{family}"),
            "taken": _release(worst.taken_version) or "of another release",
            "own": _release(worst.own_version) or "its own",
            "path": worst.taken,
            "instead": worst.instead_of,
            "asker": PurePosixPath(worst.asked_by).name,
            "consequence": _consequence(family, worst, severity),
        },
        evidence=tuple(f"{one.soname}: {one.taken} instead of {one.instead_of}" for one in overrides[:8]),
        affects=("torch",),
        severity=severity,
        commands=_without(machine, worst),
    )


def _consequence(family: str, one: Override, severity: Severity) -> str:
    if one.problem:
        return f"The file cannot be loaded ({one.problem}), and the import of torch ends there"
    if one.missing_versions:
        return f"It lacks {shorten(', '.join(one.missing_versions), 120)}, and the loader stops there"
    if one.missing_symbols:
        lacks = shorten(", ".join(one.missing_symbols), 120)
        return f"It lacks {lacks}: undefined symbol, at the import or at the first use"
    if family == "cudnn" and severity is Severity.ERROR:
        return (
            "cuDNN refuses parts of an older release, and torch refuses a cuDNN older than it was built with"
        )
    if severity is Severity.INFO:
        return "It has what torch was built with, which works as long as the major release is the same"
    return "torch was neither built nor tested with it: results, speed and errors are those of that release"


def _without(machine: Snapshot, one: Override) -> Tuple[str, ...]:
    """The variable without the folder or file in question."""
    if one.by == _FILE:
        return (f"sudo nano {_FILE}",)
    value = machine.variables.get(one.by, "")
    unwanted = {one.taken, PurePosixPath(one.taken).name, str(PurePosixPath(one.taken).parent)}
    kept = [entry for entry in value.split(":") if entry and entry.rstrip("/") not in unwanted]
    return (f"export {one.by}={':'.join(kept)}",) if kept else (f"unset {one.by}",)


@rule("CFG061")
def runtime_too_old(machine: Snapshot) -> List[Problem]:
    """libstdc++ or another runtime library is taken from outside and lacks versions that the environment needs."""
    loading = machine.loading
    if not (
        loading.modelled or loading.overrides or loading.preloads or "LD_LIBRARY_PATH" in machine.variables
    ):
        raise Skip("no variable of the loader is set")
    problems = []
    for one in loading.overrides:
        if _CUDA.match(one.soname) or not (one.missing_versions or one.problem):
            continue
        lacks = ", ".join(one.missing_versions)
        newest = max((told.split(" ")[0] for told in one.missing_versions), key=_order, default="")
        problems.append(
            Problem(
                {
                    "by": one.by,
                    "soname": shorten(one.soname, 20),
                    "lack": f"without {shorten(newest, 18)}" if newest else "that is damaged",
                    "path": one.taken,
                    "instead": one.instead_of or "the system's",
                    "asker": PurePosixPath(one.asked_by).name,
                    "reason": f"It lacks {shorten(lacks, 160)}" if lacks else one.problem,
                },
                evidence=(
                    f"{one.soname}: {one.taken} instead of {one.instead_of or 'none'}",
                    *one.missing_versions[:6],
                ),
                affects=("torch",),
                commands=_without(machine, one),
            )
        )
    return problems


def _order(version: str) -> Tuple[str, Tuple[int, ...]]:
    """GLIBCXX_3.4.30 comes after GLIBCXX_3.4.9, and CXXABI before both."""
    name, _, number = version.rpartition("_")
    return name, numbers(number)


@rule("CFG062")
def driver_preloaded(machine: Snapshot) -> List[Problem]:
    """LD_PRELOAD puts another libcuda or libnvidia-ml before the driver's own."""
    found = [one for one in machine.loading.preloads if one.by == "LD_PRELOAD" and _is_driver(one)]
    problems = []
    for one in found:
        stub = "stubs" in PurePosixPath(one.path).parts
        problems.append(
            Problem(
                {
                    "name": shorten(PurePosixPath(one.name).name, 24),
                    "path": one.path or one.name,
                    "kind": "the stub of the driver" if stub else "a driver library",
                    "consequence": "It answers every call with an error, so that no GPU is seen"
                    if stub
                    else "What is asked of the driver is answered by it, also after the driver was changed",
                },
                evidence=(f"LD_PRELOAD={one.name}",),
                affects=("torch", "the GPU"),
                severity=Severity.ERROR if stub and models(machine) else None,
            )
        )
    return problems


def _is_driver(one: Preload) -> bool:
    return bool(one.path) and bool(_DRIVER.match(PurePosixPath(one.name).name))


@rule("SYS060")
def preloaded_everywhere(machine: Snapshot) -> List[Problem]:
    """/etc/ld.so.preload puts libraries into every process of this machine."""
    found = [one for one in machine.loading.preloads if one.by == _FILE]
    if not found:
        return []
    gone = [one for one in found if one.problem]
    words = {
        "gone": "is not there",
        "machine": "is for another machine",
        "damaged": "is damaged",
    }
    first = (gone or found)[0]
    return [
        Problem(
            {
                "name": shorten(PurePosixPath(first.name).name, 30),
                "fate": words[first.problem] + ", and the loader complains at every start of a program"
                if gone
                else "is loaded into every program; some that share out GPUs do so on purpose, and then memory and "
                "errors are what they say",
                "path": first.name,
            },
            evidence=tuple(one.name for one in found),
            affects=("every program",),
            severity=Severity.WARNING if gone else None,
            commands=(f"cat {_FILE}",),
        )
    ]
