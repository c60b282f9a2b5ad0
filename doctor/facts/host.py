"""The operating system, the container around this process, and the limits that it lives under."""

import locale
import os
import re
import resource
from typing import List, Mapping, Optional, Tuple

from envdoc.doctor.facts.root import machine_path, read_line, read_text
from envdoc.doctor.facts.snapshot import Host

_UNLIMITED_BYTES = 1 << 60  # cgroup v1 writes "no limit" as 2**63 rounded down to a page
# /docker/ID and docker-ID.scope are containers; docker.service is the daemon, docker-desktop a program.
_CGROUP_NAMES = (
    (r"[/:]kubepods[/.-]", "kubernetes"),
    (r"[/:]docker(?:/|-[0-9a-f]{12})", "docker"),
    (r"[/:]libpod-", "podman"),
    (r"[/:]lxc[/.]", "lxc"),
)


def host(environ: Mapping[str, str]) -> Host:
    """The host as this process sees it; limits are None where none is set."""
    kernel = read_line("/proc/sys/kernel/osrelease") or os.uname().release
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Host(
        distribution=_distribution(),
        kernel=kernel,
        glibc=_glibc(),
        container=_container(environ),
        is_wsl="microsoft" in kernel.lower(),
        cpu_count=_cpu_count(),
        cpu_limit=_cpu_limit(),
        memory_bytes=_memory_bytes(),
        memory_limit_bytes=memory_limit_bytes(),
        address_space_limit_bytes=None if address_space == resource.RLIM_INFINITY else address_space,
        open_files_limit=None if open_files == resource.RLIM_INFINITY else open_files,
        locale_encoding=locale.getpreferredencoding(False),
    )


def _distribution() -> str:
    text = read_text("/etc/os-release") or read_text("/usr/lib/os-release")
    match = re.search(r"^PRETTY_NAME=(['\"]?)(.*)\1$", text, re.MULTILINE)
    return match.group(2) if match else ""


def _glibc() -> str:
    """ "2.36"; empty on musl, for which no wheel of torch is built."""
    try:
        name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return ""
    return version if name == "glibc" else ""


def _container(environ: Mapping[str, str]) -> str:
    """By what each kind leaves behind; a pod first, since docker or containerd carries it."""
    if environ.get("KUBERNETES_SERVICE_HOST") or machine_path("/run/secrets/kubernetes.io").exists():
        return "kubernetes"
    marker = machine_path("/run/.containerenv")
    if marker.exists():
        return "podman"
    if machine_path("/.dockerenv").exists():
        return "docker"
    groups = read_text("/proc/self/cgroup") + read_text("/proc/1/cgroup")
    for sign, kind in _CGROUP_NAMES:
        if re.search(sign, groups):
            return kind
    manager = read_text("/proc/1/environ").partition("container=")[2].partition("\0")[0]
    return manager if manager in ("docker", "podman", "lxc", "systemd-nspawn") else ""


def _cpu_count() -> int:
    """The processors that this process may run on: taskset, Slurm and docker --cpuset-cpus lessen them."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):
        return os.cpu_count() or 0


def _cpu_limit() -> Optional[float]:
    """The tightest CPU quota of this process's control group and those above it: docker --cpus, Kubernetes limits."""
    limits: List[float] = []
    for line in read_text("/proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            shares = [text.split() for text in _told("/sys/fs/cgroup", path, "cpu.max")]
        elif "cpu" in controllers.split(","):
            quotas = _told("/sys/fs/cgroup/cpu", path, "cpu.cfs_quota_us")
            shares = [
                list(pair) for pair in zip(quotas, _told("/sys/fs/cgroup/cpu", path, "cpu.cfs_period_us"))
            ]
        else:
            continue
        limits += [
            int(share[0]) / int(share[1])
            for share in shares
            if len(share) == 2 and share[0].isdigit() and share[1].isdigit() and int(share[1])
        ]
    return min(limits, default=None)


def _memory_bytes() -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB", read_text("/proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else 0


def memory_limit_bytes() -> Optional[int]:
    """The tightest memory limit of this process's control group and those above it, of either version."""
    limits: List[int] = []
    for line in read_text("/proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            limits += _limits("/sys/fs/cgroup", path, "memory.max")
            limits += _limits(
                "/sys/fs/cgroup", path, "memory.high"
            )  # beyond it a process is slowed to a crawl
        elif "memory" in controllers.split(","):
            limits += _limits("/sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
    return min(limits, default=None)


def _limits(mount: str, path: str, file: str) -> List[int]:
    return [int(text) for text in _told(mount, path, file) if text.isdigit() and int(text) < _UNLIMITED_BYTES]


def _told(mount: str, path: str, file: str) -> List[str]:
    """That file's line from the group up to the mount. In a container the group's own path is often not there."""
    parts: Tuple[str, ...] = tuple(part for part in path.split("/") if part and part != "..")
    return [read_line("/".join((mount, *parts[:depth], file))) for depth in range(len(parts), -1, -1)]


def group_lines(controller: str, file: str) -> List[str]:
    """That file's line in this process's control group and those above it, of the version that has the controller."""
    for line in read_text("/proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controller in controllers.split(","):
            return _told(f"/sys/fs/cgroup/{controller}", path, file)
        if number == "0" and not controllers:
            told = _told("/sys/fs/cgroup", path, file)
            if any(told):
                return told
    return []
