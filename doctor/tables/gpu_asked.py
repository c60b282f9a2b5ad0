"""A GPU by the name that people say (`4090`, `a100-80gb`, `h100 nvl`), as the table of gpu_rates.toml knows it."""

import difflib
import re
from dataclasses import replace
from typing import List, Optional, Tuple

from envdoc.doctor.tables import load
from envdoc.doctor.tables.gpu_rates import GpuModel, gpu_model

_MEMORY = re.compile(r"[\s_-](\d{1,3})\s*(gb|gib|g)?$", re.IGNORECASE)
_WORDS = re.compile(r"[^a-z0-9]+")
MAKERS = ("nvidia", "geforce", "tesla", "quadro")


def asked_gpu(text: str) -> Optional[GpuModel]:
    """The model, with the memory that the name tells where it tells one; None where the table has no such name."""
    name, memory = _apart(text)
    if name is None:
        return None
    found = gpu_model(name)
    assert found is not None
    return replace(found, memory_gb=memory) if memory else found


def nearest(text: str, count: int = 4) -> List[str]:
    """Names of the table that look like it."""
    names = load("gpu_rates")["models"]
    plain = {_plain(name): name for name in names}
    close = difflib.get_close_matches(_plain(text), plain, count, 0.3)
    return [plain[name] for name in close]


def _apart(text: str) -> Tuple[Optional[str], Optional[float]]:
    """The table's name, and the memory in GB that was said beside it."""
    whole = _named(text)
    if whole is not None and not _MEMORY.search(text):
        return whole, None
    match = _MEMORY.search(text)
    if match:
        name = _named(text[: match.start()])
        if name is not None:
            return name, float(match.group(1))
    return whole, None


def _named(text: str) -> Optional[str]:
    """The one name of the table that says the same but for case, signs and maker, or that ends in it."""
    names = load("gpu_rates")["models"]
    asked = _plain(text)
    if not asked:
        return None
    equal = [name for name in names if _plain(name) == asked]
    # `4090` is the RTX 4090: of the names that end in it the shortest; `rtx4090` has the same letters
    ending = sorted((name for name in names if _plain(name).endswith(f" {asked}")), key=len)
    joined = [name for name in names if _plain(name).replace(" ", "") == asked.replace(" ", "")]
    return next(iter([*equal, *joined, *ending]), None)


def _plain(text: str) -> str:
    words = _WORDS.sub(" ", text.lower()).split()
    return " ".join(word for word in words if word not in MAKERS)
