"""Rules about what CUDA_VISIBLE_DEVICES says, read as CUDA and torch read it, and about modes that close a GPU."""

import re
from typing import List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.gpu import hidden_by_variable
from envdoc.doctor.rules.machine import gigabytes, gpu_name, shorten
from envdoc.doctor.rules.registry import Problem, Skip, rule

_NUMBER = re.compile(r"[+-]?\d+")
# More than this in use on a GPU that one process may have alone means that one has it; ours has not started.
TAKEN_BYTES = 1 << 30


@rule("GPU010")
def misnamed(machine: Snapshot) -> List[Problem]:
    """Entries that name no GPU: words, quotes, numbers twice, names of cards that are elsewhere."""
    if not machine.gpus:
        raise Skip("no GPU was listed")
    value = machine.variables.get("CUDA_VISIBLE_DEVICES")
    if value is None or hidden_by_variable(machine):  # the latter is GPU002's
        return []
    found = _fault(value, machine.driver_files.visible_unmatched)
    if found is None:
        return []
    what, effect = found
    return [
        Problem(
            {"value": shorten(value, 20), "what": what, "effect": effect, "count": len(machine.gpus)},
            evidence=(f"CUDA_VISIBLE_DEVICES={value!r}",),
            affects=("torch",),
        )
    ]


@rule("GPU014")
def exclusive_and_taken(machine: Snapshot) -> List[Problem]:
    """A GPU that one process may use alone, and one does."""
    told = [gpu for gpu in machine.gpus if gpu.compute_mode and gpu.memory_used_bytes is not None]
    if not told:
        raise Skip("no GPU told its compute mode and memory")
    return [
        Problem(
            {"gpu": gpu_name(gpu), "index": gpu.index, "used": gigabytes(gpu.memory_used_bytes or 0)},
            evidence=(f"GPU {gpu.index}: compute mode {gpu.compute_mode}",),
            affects=("torch",),
        )
        for gpu in told
        if gpu.compute_mode.lower().startswith("exclusive") and (gpu.memory_used_bytes or 0) > TAKEN_BYTES
    ]


def _fault(value: str, unmatched: Tuple[int, ...]) -> Optional[Tuple[str, str]]:
    """What is wrong with the first entry that is, and what CUDA then sees.

    CUDA reads the digits that an entry begins with and stops at the first entry without any; an entry that comes
    twice leaves nothing (torch, cuda/__init__.py, _parse_visible_devices, which follows the driver; read in 2.13.0).
    """
    entries = [entry.strip() for entry in value.split(",")]
    seen: List[str] = []
    for place, entry in enumerate(entries):
        left = "no GPU at all" if not seen else f"{len(seen)} GPU(s), those before it"
        if entry.startswith(("GPU-", "MIG-")):
            if place in unmatched:
                return f"entry {place + 1} is the name of no GPU here", left
            name = entry
        else:
            if not entry and place == len(entries) - 1 and seen:
                return None  # a comma at the end
            match = _NUMBER.match(entry)
            if match is None:
                return (f"`{shorten(entry, 12)}` is no number" if entry else "an entry is empty"), left
            if match.group() != entry:
                return (
                    f"`{shorten(entry, 12)}` is read as {match.group()}",
                    f"GPU {match.group()} for that entry",
                )
            name = str(int(entry))
        if name in seen:
            return f"`{shorten(entry, 12)}` stands there twice", "no GPU at all"
        if int(name) < 0 if name.lstrip("-").isdecimal() else False:
            return None  # -1 ends the list on purpose
        seen.append(name)
    return None
