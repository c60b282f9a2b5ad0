"""Rules about the home folder, the clock, processes, and headers: what a run finds around it."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_gpu, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule

# envdoc itself is younger than this day, so that a clock before it is wrong. Dates compare as texts.
_EARLIEST = "2025-01-01"

# A run with OpenMP, data workers and a GPU was seen with a few hundred threads (/proc/PID/status); our judgement.
PROCESSES = 512


@rule("SYS020")
def home_missing(machine: Snapshot) -> List[Problem]:
    """HOME names a folder that is not there."""
    place = machine.storage_for("home")
    if place is None or not place.path:
        raise Skip("the home folder was not looked at")
    if place.exists:
        return []
    return [
        Problem(
            {"path": place.path, "short": shorten(place.path, 44)},
            evidence=(f"{place.path} does not exist",),
            affects=("caches", "settings"),
            severity=Severity.ERROR if place.writable is False else None,
        )
    ]


@rule("SYS021")
def tmp_missing(machine: Snapshot) -> List[Problem]:
    """TMPDIR names a folder that is not there: Python takes another, compilers fail."""
    place = machine.storage_for("tmp")
    if place is None or not place.path:
        raise Skip("the temporary folder was not looked at")
    if place.exists:
        return []
    return [
        Problem(
            {"path": place.path, "short": shorten(place.path, 40)},
            evidence=(f"{place.path} does not exist",),
            affects=("compilers", "pip"),
            commands=(f"mkdir -p {place.path}",),
        )
    ]


@rule("SYS022")
def clock_behind(machine: Snapshot) -> List[Problem]:
    """The clock is behind the time at which half of the packages were installed."""
    now, packages = machine.taken_at, machine.surroundings.packages_changed_at
    if not now:
        raise Skip("the snapshot does not tell when it was taken")
    if now[:10] >= max(_EARLIEST, packages[:10]):
        return []
    sign = (
        f"its packages were installed on {packages[:10]}"
        if packages[:10] > now[:10]
        else "envdoc did not exist then"
    )
    return [
        Problem(
            {"now": now[:10], "sign": sign},
            evidence=(f"now {now}", f"packages of {packages or 'an unknown time'}"),
            affects=("downloads",),
        )
    ]


@rule("SYS023")
def few_processes(machine: Snapshot) -> List[Problem]:
    """A limit on threads and processes that OpenMP and data workers reach."""
    limit = machine.surroundings.processes_limit
    if limit is None or limit >= PROCESSES:
        return []
    return [Problem({"limit": limit}, affects=("OpenMP", "DataLoader workers"))]


@rule("SYS024")
def headers_missing(machine: Snapshot) -> List[Problem]:
    """triton compiles a small C module against Python.h at its first kernel, and there is none."""
    require_gpu(machine)
    triton, has = version_of(machine, "triton"), machine.surroundings.has_python_headers
    if triton is None or has is None or not machine.toolkit.host_compiler:
        raise Skip("no triton, no C compiler, or nothing told where the headers are")
    if has:
        return []
    minor = ".".join(machine.interpreter.version.split(".")[:2])
    is_system = machine.interpreter.base_prefix == "/usr"
    return [
        Problem(
            {"minor": minor, "triton": shorten(triton, 20), "prefix": machine.interpreter.base_prefix},
            evidence=(f"{machine.interpreter.base_prefix}/include/python{minor}/Python.h is not there",),
            affects=("triton", "torch.compile"),
            commands=(f"sudo apt-get install python{minor}-dev",) if is_system else (),
        )
    ]
