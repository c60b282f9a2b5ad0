"""What compiled extensions do when they do not load, and which of their libraries they cannot do without."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import numbers


@dataclass(frozen=True)
class ExtensionUse:
    """One row of extensions.toml."""

    severity: str  # of a part that does not load: "error", "warning" or "info"
    effect: str  # completes "then ..."
    install: str  # what pip must be given to install it again
    main: str = ""  # regular expression, searched in the name of a file
    without_gpu: str = ""
    kernels: str = "needed"  # or "optional"
    resolve: bool = False  # each release is for one torch by its metadata: pip finds the one for this torch

    def is_main(self, file: str) -> bool:
        """Whether the distribution cannot do without that library."""
        return bool(self.main and re.search(self.main, file))


@lru_cache(maxsize=None)
def extension_use(name: str) -> ExtensionUse:
    """The row of a normalised name; for one that is not in the table, what is true of any."""
    rows: Dict[str, Dict[str, Any]] = load("extensions")["extension"]
    if name in rows:
        return ExtensionUse(**rows[name])
    return ExtensionUse("warning", "what imports it fails", f"--no-build-isolation --no-cache-dir {name}")


def is_known_extension(name: str) -> bool:
    """Whether the table has a row for it."""
    return name in load("extensions")["extension"]


def torchvision_for(torch: str) -> str:
    """ "0.24.*" for torch 2.9: its minor follows torch's at a distance of 15 since torch 2.0; empty below."""
    parts = numbers(torch)[:2]
    return f"0.{parts[1] + 15}.*" if len(parts) == 2 and parts[0] == 2 else ""
