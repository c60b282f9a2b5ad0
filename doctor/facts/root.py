"""Where the machine's own files are read: /sys, /proc, /dev, /etc and /run, or a copy of them under ENVDOC_ROOT.

The copy makes every driver and container fact testable without a GPU, without root and without a container.
"""

import os
from pathlib import Path

from envdoc.doctor.files import read_bytes


def machine_path(path: str) -> Path:
    """The absolute `path` of this machine, or its counterpart under ENVDOC_ROOT where that is set."""
    root = os.environ.get("ENVDOC_ROOT", "")
    return Path(root + path) if root else Path(path)


def read_line(path: str) -> str:
    """The stripped text of a small file such as /sys/module/nvidia/version; empty where it cannot be read."""
    return read_text(path).strip()


def read_text(path: str, limit_bytes: int = 1 << 20) -> str:
    """Up to `limit_bytes` of a machine file, decoded with replacement; empty where it cannot be read."""
    try:
        return read_bytes(machine_path(path), limit_bytes).decode("utf-8", "replace")
    except OSError:
        return ""
