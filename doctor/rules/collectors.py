"""Rules about the examination itself: what could not be looked at is told, and never passes for healthy."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.registry import Problem, rule


@rule("CFG110")
def collector_failed(machine: Snapshot) -> List[Problem]:
    """A collector raised an error or did not finish: what it would have told is missing from the snapshot."""
    if not machine.errors:
        return []
    names = tuple(error.collector for error in machine.errors)
    values = {"name": shorten(", ".join(names), 30), "first": shorten(machine.errors[0].message, 200)}
    evidence = tuple(f"{error.collector}: {error.message}"[:500] for error in machine.errors[:10])
    return [Problem(values, evidence, names)]
