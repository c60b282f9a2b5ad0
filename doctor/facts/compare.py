"""How two snapshots differ: this machine and the one where it worked, what matters most first."""

import dataclasses
import re
from dataclasses import dataclass
from typing import Any, Dict, Iterator, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Snapshot

# What decides most often whether a run works comes first; a hundred packages of no matter come last.
FIRST = ("driver", "gpus", "interpreter", "torch", "bitsandbytes", "transformers")
TRAINING_PACKAGES = (
    "torch", "triton", "transformers", "peft", "bitsandbytes", "accelerate", "trl", "datasets", "tokenizers",
    "safetensors", "huggingface-hub", "numpy", "deepspeed", "flash-attn", "xformers", "vllm", "unsloth",
)  # fmt: skip
# When and how a snapshot was taken says nothing about the machine.
PASSED_OVER = ("schema_version", "envdoc_version", "taken_at", "target_reason", "errors")
# These change from minute to minute on one machine.
RESTLESS = (
    "free_bytes",
    "free_inodes",
    "memory_used_bytes",
    "memory_available_bytes",
    "commit_left_bytes",
    "processes_left",
    "temperature_celsius",
    "slowed_by",
    "seconds",
)
ABSENT = "absent"
_STEPS = re.compile(r"\[\d+\]|[^.\[\]]+")


@dataclass(frozen=True)
class Difference:
    """One leaf of the tree that is not the same: `packages.peft`, 0.17.1 and 0.21.2."""

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}"

    @property
    def field(self) -> str:
        """The field of Snapshot that it is in."""
        return self.key.split(".")[0].split("[")[0]


def differences(old: Snapshot, new: Snapshot) -> Tuple[Difference, ...]:
    """What differs, what matters most first. Empty where the two say the same."""
    before, after = _flat(old), _flat(new)
    keys = {key for key in (*before, *after) if before.get(key, ABSENT) != after.get(key, ABSENT)}
    found = (Difference(key, before.get(key, ABSENT), after.get(key, ABSENT)) for key in keys)
    return tuple(sorted(found, key=_rank))


def with_one(snapshot: Snapshot, other: Snapshot, difference: Difference) -> Snapshot:
    """`snapshot` with that one difference as it is in `other`; where only one has such a place, unchanged."""
    if difference.field == "packages":
        name = difference.key.partition(".")[2]
        kept = tuple(package for package in snapshot.packages if package.name != name)
        taken = tuple(package for package in other.packages if package.name == name)
        return dataclasses.replace(snapshot, packages=kept + taken)
    try:
        put: Snapshot = _put(snapshot, other, _STEPS.findall(difference.key))
    except (AttributeError, LookupError, TypeError):
        return snapshot
    return put


def with_field(snapshot: Snapshot, other: Snapshot, field: str) -> Snapshot:
    """`snapshot` with that whole field as it is in `other`."""
    return dataclasses.replace(snapshot, **{field: getattr(other, field)})


def _put(value: Any, other: Any, steps: Sequence[str]) -> Any:
    """`value` with what is at the end of the steps as in `other`; a LookupError or the like where nothing is."""
    if not steps:
        return other
    step, rest = steps[0], steps[1:]
    if step.startswith("["):
        at = int(step[1:-1])
        return (*value[:at], _put(value[at], other[at], rest), *value[at + 1 :])
    if not isinstance(value, dict):
        return dataclasses.replace(value, **{step: _put(getattr(value, step), getattr(other, step), rest)})
    kept = {key: inner for key, inner in value.items() if key != step}
    return {**kept, step: other[step]} if step in other else kept


def _rank(difference: Difference) -> Tuple[int, int, str]:
    names = [*FIRST, "packages", *(item.name for item in dataclasses.fields(Snapshot))]
    field, name = difference.field, difference.key.partition(".")[2]
    if field == "packages" and name not in TRAINING_PACKAGES:
        return len(names), 0, difference.key
    return names.index(field), TRAINING_PACKAGES.index(name) if field == "packages" else 0, difference.key


def _flat(snapshot: Snapshot) -> Dict[str, str]:
    tree = {key: value for key, value in dataclasses.asdict(snapshot).items() if key not in PASSED_OVER}
    tree["packages"] = {package.name: package.version for package in reversed(snapshot.packages)}
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
