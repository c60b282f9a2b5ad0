"""The driver as files: its libraries and what versions they are of, its module on disk, and the way to the devices."""

import errno
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.facts.root import machine_path, read_line, read_text
from envdoc.doctor.facts.snapshot_system import DriverFiles, DriverLibrary

_SONAMES = ("libcuda.so.1", "libnvidia-ml.so.1", "libnvidia-ptxjitcompiler.so.1")
_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib64-nvidia",  # Colab
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
    "/usr/local/cuda/compat",
)
_VERSION = re.compile(r"\.so\.(\d{3,4}\.\d+(?:\.\d+)?)$")
_SECURE_BOOT = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_MODULE_FILE = re.compile(r"/nvidia(?:-current)?\.ko(?:\.\w+)?:")


def driver_files(environ: Mapping[str, str], visible_unmatched: Tuple[int, ...] = ()) -> DriverFiles:
    """The files; the module's on disk only where none is loaded, which is when they matter."""
    values: Dict[str, Any] = {}
    if not read_line("/sys/module/nvidia/version") and not read_text("/proc/driver/nvidia/version"):
        values = _modules_on_disk()
    cache = _loader_cache()
    return DriverFiles(
        libraries=_libraries(environ),
        control_error=_control_error(),
        has_dxg=machine_path("/dev/dxg").exists(),
        in_loader_cache=b"libcuda.so.1\0" in cache if cache else None,
        has_ldconfig=machine_path("/sbin/ldconfig").exists() if cache else None,
        visible_unmatched=visible_unmatched,
        **values,
    )


def _libraries(environ: Mapping[str, str]) -> Tuple[DriverLibrary, ...]:
    folders = [(machine_path(folder), folder) for folder in _FOLDERS]
    folders += [(Path(entry), entry) for entry in environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    found: List[DriverLibrary] = []
    seen = set()
    for folder, name in folders:
        real = os.path.realpath(folder)  # /usr/lib64 is a link to a folder of this list on some systems
        if real in seen:
            continue
        seen.add(real)
        for soname in _SONAMES:
            path = Path(real) / soname
            if os.path.lexists(path):
                version = version_in(os.path.realpath(path))
                found.append(DriverLibrary(f"{name}/{soname}", version, _is_there(path)))
    return tuple(found)


def _is_there(path: Path) -> bool:
    """False for a link that leads nowhere and for an empty file."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def version_in(path: str) -> str:
    """ "580.95.05" from libcuda.so.580.95.05; empty for a name without a version."""
    match = _VERSION.search(path)
    return match.group(1) if match else ""


def _loader_cache() -> bytes:
    try:
        with machine_path("/etc/ld.so.cache").open("rb") as file:
            return file.read(1 << 22)
    except OSError:
        return b""


def in_loader_cache(soname: str) -> Optional[bool]:
    """Whether ldconfig's cache names that library; None where there is no cache (musl, some images)."""
    cache = _loader_cache()
    return soname.encode() + b"\0" in cache if cache else None


def _modules_on_disk() -> Dict[str, Any]:
    """By modules.dep, which depmod writes for each kernel in /lib/modules; empty in containers, which have none."""
    running = read_line("/proc/sys/kernel/osrelease") or os.uname().release
    try:
        kernels = sorted(folder.name for folder in machine_path("/lib/modules").iterdir())[:40]
    except OSError:
        return {}
    having = [
        kernel
        for kernel in kernels
        if _MODULE_FILE.search(read_text(f"/lib/modules/{kernel}/modules.dep", 1 << 22))
    ]
    if running not in kernels:  # a container with somebody else's folder
        return {}
    return {
        "kernels_with_module": tuple(having),
        "has_module": running in having,
        "secure_boot": _secure_boot(),
    }


def _secure_boot() -> Optional[bool]:
    """Four bytes of attributes, then one of value (UEFI specification, 3.3)."""
    try:
        data = machine_path(_SECURE_BOOT).read_bytes()
    except OSError:
        return None
    return data[4] == 1 if len(data) > 4 else None


def _control_error() -> str:
    """What opening /dev/nvidiactl says: a control group refuses what access(2), which asks permissions, allows."""
    path = machine_path("/dev/nvidiactl")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    os.close(descriptor)
    return ""
