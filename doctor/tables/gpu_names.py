"""GPU names and capabilities for machines where the driver does not tell them (gpu_names.toml)."""

import re
from functools import lru_cache
from typing import Dict, List, Optional, Tuple, cast

from envdoc.doctor.tables import load


def capability_by_name(name: str) -> Optional[str]:
    """The compute capability of a product name ("NVIDIA H200" is "9.0"), or None for a name that is not known."""
    return next((capability for fragment, capability in _fragments() if fragment.search(name)), None)


def name_by_pci_id(device_id: str) -> Optional[str]:
    """The product name of an NVIDIA PCI device id ("0x2684" is "GeForce RTX 4090"), or None."""
    names = cast(Dict[str, str], load("gpu_names")["pci"])
    text = device_id.lower()
    return names.get(text[2:] if text.startswith("0x") else text)


@lru_cache(maxsize=None)
def _fragments() -> Tuple[Tuple["re.Pattern[str]", str], ...]:
    table = cast(Dict[str, str], load("gpu_names")["capability"])
    longest_first: List[str] = sorted(table, key=len, reverse=True)
    return tuple(
        (re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![0-9A-Za-z])", re.IGNORECASE), table[name])
        for name in longest_first
    )
