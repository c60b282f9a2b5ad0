"""Rules about folders and files that variables name, and about the cache: where it lies and whose it is."""

from typing import List

from envdoc.doctor.facts.snapshot import NamedPath, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import is_offline, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule

_CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_USES = {
    "SSL_CERT_FILE": "every download that checks certificates fails",
    "REQUESTS_CA_BUNDLE": "every download through requests fails",
    "CURL_CA_BUNDLE": "every download through requests or curl fails",
    "PIP_CERT": "pip cannot download",
    "PIP_CONSTRAINT": "pip installs nothing",
    "NCCL_TOPO_FILE": "NCCL goes on without it",
}
_MEMORY = ("tmpfs", "ramfs")
_WINDOWS = ("9p", "drvfs", "v9fs")
# Models and data are written there whenever a library downloads; the others only when something compiles.
_STOPS = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "XDG_CACHE_HOME")


@rule("CFG085")
def named_file_missing(machine: Snapshot) -> List[Problem]:
    """A file of certificates, or of pip's constraints, that a variable names and that is not there."""
    return [
        Problem(
            {
                "name": path.variable,
                "short": shorten(path.path, 30),
                "path": path.path,
                "what": "which is not there" if path.problem == "missing" else "which is a folder",
                "consequence": _USES.get(path.variable, "what is to read it fails"),
            },
            evidence=(f"{path.variable}={path.path}",),
            affects=("downloads",) if path.variable in _CERTIFICATES else (),
            severity=_file_severity(path),
            commands=(f"unset {path.variable}",),
        )
        for path in machine.named.paths
        if path.variable in _USES
    ]


@rule("CFG086")
def named_folder_closed(machine: Snapshot) -> List[Problem]:
    """A folder for models, data or kernels that cannot be written or made."""
    problems = []
    words = {"closed": "and it cannot be written or made", "not a folder": "and a file lies in its way"}
    for path in machine.named.paths:
        if path.variable in _USES or path.problem not in words:
            continue
        if path.problem == "closed" and _judged_by_storage(machine, path):
            continue
        problems.append(
            Problem(
                {
                    "name": path.variable,
                    "short": shorten(path.path, 20),
                    "path": path.path,
                    "what": words[path.problem],
                },
                evidence=(f"{path.variable}={path.path}",),
                severity=_folder_severity(machine, path),
            )
        )
    return problems


@rule("SYS031")
def compiled_where_nothing_runs(machine: Snapshot) -> List[Problem]:
    """Compiled kernels are kept on a mount that forbids programs: they cannot be loaded from there."""
    problems = []
    for path in machine.named.paths:
        if path.problem != "noexec":
            continue
        chosen = path.variable in machine.variables
        if not chosen and version_of(machine, "triton") is None:
            continue
        problems.append(
            Problem(
                {"name": path.variable, "short": shorten(path.path, 40), "path": path.path},
                evidence=(f"{path.path}: mounted noexec",),
                affects=("triton", "torch.compile"),
                commands=(f"export {path.variable}=/path/on/another/disk",),
            )
        )
    return problems


@rule("SYS032")
def cache_in_a_strange_place(machine: Snapshot) -> List[Problem]:
    """Models are kept in memory, or on a disk of Windows."""
    place = machine.storage_for("cache")
    if place is None or not place.file_system:
        raise Skip("the cache's file system was not told")
    if place.file_system in _MEMORY:
        what, consequence = (
            "in memory",
            "each model takes its size in memory, and is gone with the next start",
        )
    elif machine.host.is_wsl and place.file_system in _WINDOWS:
        what = "on a disk of Windows"
        consequence = "reading passes through a protocol of the network and takes many times as long"
    else:
        return []
    values = {"path": place.path, "short": shorten(place.path, 36), "what": what, "consequence": consequence}
    return [Problem(values, (f"{place.path}: {place.file_system}",), ("downloads", "loading a model"))]


@rule("SYS033")
def cache_of_somebody_else(machine: Snapshot) -> List[Problem]:
    """Entries of the hub's cache belong to another user: a run of root's left them, and downloads stop there."""
    count, place = machine.system.foreign_cache_entries, machine.storage_for("cache")
    if machine.system.user_id is None or place is None:
        raise Skip("the cache's owners were not told")
    if not count:
        return []
    return [
        Problem(
            {"count": count, "short": shorten(place.path, 34), "path": place.path},
            affects=("downloads",),
            commands=(f"sudo chown -R $(id -u):$(id -g) {place.path}",),
        )
    ]


def _file_severity(path: NamedPath) -> Severity:
    if path.variable in _CERTIFICATES:
        return Severity.ERROR
    return Severity.INFO if path.variable == "NCCL_TOPO_FILE" else Severity.WARNING


def _folder_severity(machine: Snapshot, path: NamedPath) -> Severity:
    """A shared cache that is read and never written is sound where downloads are switched off."""
    if path.variable not in _STOPS:
        return Severity.WARNING
    return Severity.INFO if is_offline(machine) and path.problem == "closed" else Severity.ERROR


def _judged_by_storage(machine: Snapshot, path: NamedPath) -> bool:
    """SYS002 says it of the hub's cache already."""
    cache = machine.storage_for("cache")
    return cache is not None and cache.writable is False and cache.path.startswith(path.path.rstrip("/"))
