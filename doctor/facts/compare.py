"""How two snapshots differ: this machine and the one where it worked, what matters most first."""

import dataclasses
from typing import Any, Dict, Iterator, Tuple

from envdoc.doctor.facts.snapshot import Snapshot

# Told apart from a plain walk of the tree: what decides most often whether a run works comes first.
FIRST = ("interpreter", "driver", "gpus", "torch", "bitsandbytes", "transformers", "packages")
# When and how a snapshot was taken says nothing about the machine.
PASSED_OVER = ("schema_version", "envdoc_version", "taken_at", "target_reason", "errors")
# These change from minute to minute on one machine.
RESTLESS = ("free_bytes", "free_inodes", "memory_used_bytes", "seconds")


def differences(old: Snapshot, new: Snapshot) -> Tuple[str, ...]:
    """One line a difference: `packages.peft: 0.17.1 -> 0.21.2`. Empty where the two say the same."""
    before, after = _flat(old), _flat(new)
    names = [*FIRST, *(item.name for item in dataclasses.fields(Snapshot) if item.name not in FIRST)]
    order = {name: rank for rank, name in enumerate(names)}
    keys = sorted({*before, *after}, key=lambda key: (order[key.split(".")[0].split("[")[0]], key))
    return tuple(
        f"{key}: {before.get(key, 'absent')} -> {after.get(key, 'absent')}"
        for key in keys
        if before.get(key, "absent") != after.get(key, "absent")
    )


def _flat(snapshot: Snapshot) -> Dict[str, str]:
    tree = {key: value for key, value in dataclasses.asdict(snapshot).items() if key not in PASSED_OVER}
    tree["packages"] = {package.name: package.version for package in snapshot.packages}
    # Only what is damaged, by name: positions and counts of files would tell of every upgrade.
    damaged = snapshot.integrity.distributions if snapshot.integrity else ()
    tree["integrity"] = {d.name: f"{d.fault_count} damaged files" for d in damaged if d.fault_count}
    tree["storage"] = {place.pop("purpose"): place for place in tree["storage"]}
    tree["probes"] = {probe.pop("name"): probe for probe in tree["probes"]}
    return dict(_leaves(tree, ""))


def _leaves(value: Any, path: str) -> Iterator[Tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in RESTLESS:
                yield from _leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, (list, tuple)) and any(isinstance(inner, (dict, list, tuple)) for inner in value):
        for position, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{position}]")
    else:
        yield path, ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
