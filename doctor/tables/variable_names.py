"""Names of environment variables that are known, and those that a library no longer reads (variable_names.toml)."""

from dataclasses import dataclass
from typing import FrozenSet, Optional, Tuple

from envdoc.doctor.tables import load

_SHORT = 12  # HF_HOME and the like: two letters of seven may well be another name


@dataclass(frozen=True)
class Retired:
    """A variable that `library` does not read from the release `since` on; `instead` is empty where none is."""

    library: str
    since: str
    instead: str
    consequence: str


def retired() -> Tuple[Tuple[str, Retired], ...]:
    """Every retired name with its row."""
    return tuple((name, Retired(**row)) for name, row in load("variable_names")["retired"].items())


def meant(name: str) -> Optional[str]:
    """The known name that an unknown one is nearly spelt as, or None where it is known itself or like no other.

    Two letters may be wrong, left out, too many or swapped; one in a name of fewer than 12 letters.
    """
    table = load("variable_names")
    candidates: Tuple[str, ...] = tuple(table["meant"])
    known: FrozenSet[str] = frozenset((*candidates, *table["neighbours"], *table["retired"]))
    if name in known:
        return None
    near = [
        (slips, candidate)
        for candidate in candidates
        for limit in [1 if len(candidate) < _SHORT else 2]
        if abs(len(name) - len(candidate)) <= limit
        for slips in [distance(name, candidate)]
        if slips <= limit
    ]
    return min(near)[1] if near else None


def meant_option(option: str) -> Optional[str]:
    """The allocator's option that an unknown one is nearly spelt as, or None where it is known or like no other."""
    known = load("variable_names")["allocator_options"]
    if option in known:
        return None
    near = [(slips, name) for name in known for slips in [distance(option, name)] if slips <= 2]
    return min(near)[1] if near else None


def torch_logs() -> FrozenSet[str]:
    """The names that TORCH_LOGS takes; those of modules are taken too."""
    return frozenset(load("variable_names")["torch_logs"])


def distance(one: str, other: str) -> int:
    """The fewest letters to change, insert, leave out or swap with the next that make one of the other."""
    before: Tuple[int, ...] = ()
    row = tuple(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        made = [i]
        for j, wanted in enumerate(other, 1):
            steps = min(row[j] + 1, made[-1] + 1, row[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                steps = min(steps, before[j - 2] + 1)
            made.append(steps)
        before, row = row, tuple(made)
    return row[-1]
