"""The branches of the snapshot that describe the operating system and its storage."""

from typing import Optional

from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class Storage:
    """A folder that a training run writes to."""

    purpose: str  # "home", "cache", "tmp", "work", "envdoc", "shm"
    path: str = ""
    exists: bool = False
    writable: Optional[bool] = None
    total_bytes: int = 0
    free_bytes: int = 0
    free_inodes: Optional[int] = None
    file_system: str = ""
    noexec: bool = False


@dataclass(frozen=True)
class Host:
    """The operating system and what it grants to this process."""

    distribution: str = ""  # "Debian GNU/Linux 12 (bookworm)"
    kernel: str = ""
    glibc: str = ""  # "2.36"
    container: str = ""  # "docker", "podman", "kubernetes", "lxc" or "" for none seen
    is_wsl: bool = False
    cpu_count: int = 0
    cpu_limit: Optional[float] = (
        None  # processors' worth of time that the cgroup grants, where it sets a limit
    )
    memory_bytes: int = 0
    memory_limit_bytes: Optional[int] = None  # cgroup limit where one is set
    address_space_limit_bytes: Optional[int] = None  # RLIMIT_AS where one is set
    open_files_limit: Optional[int] = None
    locale_encoding: str = ""
