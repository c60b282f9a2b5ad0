"""Rules about the operating system: disk, memory, shared memory, limits, locale."""

from typing import Dict, List, Optional, Tuple, Union

from envdoc.doctor.facts.snapshot import Snapshot, Storage
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gigabytes, is_offline, models, require_torch, shorten, torch_name
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule
from envdoc.doctor.tables.storage_floors import floor_for
from envdoc.doctor.tables.torch_builds import torch_release, torch_releases
from envdoc.doctor.tables.versions import numbers

# ds_report warns below 512 MiB (deepspeed/env_report.py); docker gives 64 MiB unless told otherwise.
SHM_BYTES = 512 << 20

# A checkpoint is read shard by shard through host memory, and shards of transformers go up to 5 GB (max_shard_size
# before 5.0); importing torch and transformers takes 0.3 GB. Our judgement from those two.
MEMORY_BYTES = 8 << 30

# Python, torch and transformers map several GB of libraries; 2 GB killed the import when tried. Our judgement.
ADDRESS_SPACE_BYTES = 16 << 30

# The usual soft limit; DataLoader workers that share tensors through file descriptors use one a tensor.
OPEN_FILES = 1024

# A model of the hub is some tens of files, a link and a lock for each; a compiled kernel is a handful.
INODES = 200

WRITTEN = {
    "tmp": (Severity.ERROR, "pip, torch and triton write there"),
    "cache": (Severity.ERROR, "models and data are downloaded there"),
    "work": (Severity.WARNING, "a run without another output folder writes there"),
    "home": (Severity.WARNING, "caches and settings are written there"),
    "envdoc": (Severity.WARNING, "environments are built there"),
}


@rule("SYS001")
def disk_room(machine: Snapshot) -> List[Problem]:
    """Too little room where a run, a download or a new environment writes; one word a file system."""
    if not any(place.total_bytes for place in machine.storage):
        raise Skip("no folder's room was told")
    worst: Dict[Tuple[str, int], Tuple[Severity, Storage, str]] = {}
    for place in machine.storage:
        level = _level(machine, place)
        if level is None:
            continue
        severity, needs = level
        key = (place.file_system, place.total_bytes)
        if key not in worst or severity.rank < worst[key][0].rank:
            worst[key] = (severity, place, needs)
    return [
        Problem(
            {
                "purpose": place.purpose,
                "path": place.path,
                "free": gigabytes(place.free_bytes),
                "needs": needs,
            },
            evidence=(f"{place.path}: {gigabytes(place.free_bytes)} of {gigabytes(place.total_bytes)} free",),
            affects=tuple(
                other.purpose for other in machine.storage if (other.file_system, other.total_bytes) == key
            ),
            severity=severity,
            commands=("df -h " + place.path,),
        )
        for key, (severity, place, needs) in worst.items()
    ]


@rule("SYS002")
def folder_not_writable(machine: Snapshot) -> List[Problem]:
    """A folder that a run writes to and may not."""
    if not any(place.writable is not None for place in machine.storage):
        raise Skip("no folder's permissions were told")
    closed = [place for place in machine.storage if place.writable is False and place.purpose in WRITTEN]
    return [
        Problem(
            {"purpose": place.purpose, "path": place.path, "use": WRITTEN[place.purpose][1]},
            evidence=(f"{place.path} is not writable",),
            # A shared cache that is only read is sound where downloads are switched off.
            severity=Severity.INFO
            if place.purpose == "cache" and is_offline(machine)
            else WRITTEN[place.purpose][0],
        )
        for place in closed
    ]


@rule("SYS003")
def noexec_tmp(machine: Snapshot) -> List[Problem]:
    """TMPDIR on a file system that forbids programs: what is compiled there cannot be loaded."""
    place = _place(machine, "tmp")
    if not place.noexec:
        return []
    return [Problem({"path": place.path}, evidence=(f"{place.path}: mounted noexec ({place.file_system})",))]


@rule("SYS004")
def small_shm(machine: Snapshot) -> Union[List[Problem], Passed]:
    """/dev/shm too small for DataLoader workers: the usual container."""
    place = _place(machine, "shm")
    if not place.total_bytes:
        raise Skip("the size of /dev/shm was not told")
    if place.total_bytes >= SHM_BYTES:
        return Passed({"size": gigabytes(place.total_bytes)})
    mebibytes = place.total_bytes >> 20
    where = f"this {machine.host.container} container" if machine.host.container else "this machine"
    container = machine.host.container == "docker"
    return [
        Problem(
            {"size": f"{mebibytes} MiB", "where": where},
            evidence=(f"{place.path}: {mebibytes} MiB",),
            affects=("DataLoader workers", "NCCL"),
            commands=("docker run --shm-size=8g IMAGE",) if container else (),
        )
    ]


@rule("SYS005")
def little_memory(machine: Snapshot) -> List[Problem]:
    """A memory limit, or a machine, too small to load a model through."""
    host = machine.host
    if not host.memory_bytes:
        raise Skip("the machine's memory was not told")
    granted = min(host.memory_bytes, host.memory_limit_bytes or host.memory_bytes)
    if granted >= MEMORY_BYTES:
        return []
    who = "The control group grants" if granted < host.memory_bytes else "The machine has"
    values = {"who": who, "memory": gigabytes(granted)}
    evidence = (f"memory {gigabytes(host.memory_bytes)}, granted {gigabytes(granted)}",)
    return [Problem(values, evidence, severity=None if models(machine) else Severity.INFO)]


@rule("SYS006")
def address_space_limit(machine: Snapshot) -> List[Problem]:
    """`ulimit -v`: CUDA reserves addresses for all memory of host and GPUs, which such a limit forbids."""
    limit = machine.host.address_space_limit_bytes
    if limit is None:
        return []
    on_gpus = sum(gpu.memory_bytes for gpu in machine.gpus)
    if models(machine) and limit < machine.host.memory_bytes + on_gpus:
        return [
            Problem(
                {
                    "limit": gigabytes(limit),
                    "reason": "CUDA reserves addresses for all of host and GPU memory",
                }
            )
        ]
    if limit < ADDRESS_SPACE_BYTES:
        reason = "importing torch maps several GB of libraries"
        return [Problem({"limit": gigabytes(limit), "reason": reason}, severity=Severity.WARNING)]
    return []


@rule("SYS007")
def few_open_files(machine: Snapshot) -> List[Problem]:
    """A limit on open files that DataLoader workers reach."""
    limit = machine.host.open_files_limit
    if limit is None or limit >= OPEN_FILES:
        return []
    return [Problem({"limit": limit}, affects=("DataLoader workers",))]


@rule("SYS008")
def ascii_locale(machine: Snapshot) -> List[Problem]:
    """An ASCII locale: a data file with Chinese text cannot be opened without naming its encoding."""
    encoding = machine.host.locale_encoding
    if not encoding:
        raise Skip("the locale's encoding was not told")
    if encoding.lower().replace("_", "-") not in ("ascii", "us-ascii", "ansi-x3.4-1968", "646"):
        return []
    return [Problem({"encoding": shorten(encoding, 20)}, affects=("data files",))]


@rule("SYS009")
def old_glibc(machine: Snapshot) -> List[Problem]:
    """A C library older than the torch that is installed, or that new environments use, was built for."""
    glibc = machine.host.glibc
    if not glibc:
        raise Skip("the C library's version was not told")
    newest = torch_releases()[-1]
    if machine.torch is not None and machine.torch.cuda:
        torch = require_torch(machine)
        row = torch_release(torch.version, torch.cuda)
        if row is not None and numbers(glibc) < numbers(row.glibc):
            values = {"glibc": glibc, "wants": row.glibc, "what": torch_name(torch)}
            return [Problem(values, affects=("torch",), severity=Severity.ERROR)]
    if numbers(glibc) >= numbers(newest.glibc):
        return []
    first = next(row.versions[0] for row in torch_releases() if row.glibc == newest.glibc)
    values = {"glibc": glibc, "wants": newest.glibc, "what": f"torch {first} and newer"}
    return [Problem(values, affects=("new environments",), severity=Severity.INFO)]


@rule("SYS010")
def few_inodes(machine: Snapshot) -> List[Problem]:
    """Too few inodes for an environment, or for any file at all, although there is room."""
    floor = floor_for("files")
    told = [place for place in machine.storage if place.free_inodes is not None]
    if not told or floor is None:
        raise Skip("the file system counts no inodes")
    problems: Dict[Tuple[str, int], Problem] = {}
    for place in told:
        free, key = place.free_inodes or 0, (place.file_system, place.total_bytes)
        if place.purpose == "envdoc" and floor.level(free):
            problems[key] = Problem({"path": place.path, "free": free, "needs": floor.needs})
        elif place.purpose in WRITTEN and free < INODES and key not in problems:
            values = {
                "path": place.path,
                "free": free,
                "needs": f"{WRITTEN[place.purpose][1]}, a file for each part",
            }
            problems[key] = Problem(values, severity=WRITTEN[place.purpose][0])
    return list(problems.values())


def _level(machine: Snapshot, place: Storage) -> Optional[Tuple[Severity, str]]:
    floor = floor_for(place.purpose)
    if floor is None or not place.total_bytes:
        return None
    name = floor.level(place.free_bytes)
    if name is None:
        return None
    if place.purpose == "envdoc" and machine.torch is not None:
        name = "info"  # an environment exists; there is only no room for the next one
    return Severity(name), floor.needs


def _place(machine: Snapshot, purpose: str) -> Storage:
    place = machine.storage_for(purpose)
    if place is None or not place.exists:
        raise Skip(f"the {purpose} folder was not looked at")
    return place
