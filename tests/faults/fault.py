"""How a fault is written: one small function that breaks a Box, with the codes that name what it did."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, FrozenSet, List, Sequence, Set, Tuple

from box import Box

LIMIT_SECONDS = 300.0


@dataclass(frozen=True)
class Fault:
    """`names`: one of these codes must be raised. `also`: prefixes of codes that may be errors as its consequence.

    `says`: phrases of which one, in the output of another tool, counts as that tool naming the fault.
    `quick`: False where only the whole check looks long enough, with its children.
    `expects`: for a fault without `names`, what should be said and is not yet.
    """

    id: str
    function: Callable[[Box], None]
    names: FrozenSet[str]
    also: Tuple[str, ...]
    says: Tuple[str, ...]
    quick: bool
    expects: str

    @property
    def title(self) -> str:
        """What is broken, in one line."""
        return (self.function.__doc__ or "").strip().splitlines()[0]


FAULTS: Dict[str, Fault] = {}


def fault(
    id: str,
    *names: str,
    also: Sequence[str] = (),
    says: Sequence[str] = (),
    quick: bool = True,
    expects: str = "",
) -> Callable[[Callable[[Box], None]], Callable[[Box], None]]:
    """Register a function that breaks a box."""

    def register(function: Callable[[Box], None]) -> Callable[[Box], None]:
        assert id not in FAULTS, f"Two faults are called {id}."
        assert bool(names) != bool(expects), f"{id} needs codes, or says what is expected of them."
        FAULTS[id] = Fault(id, function, frozenset(names), tuple(also), tuple(says), quick, expects)
        return function

    return register


def findings(envdoc: Path, box: Box, quick: bool = True) -> List[Dict[str, Any]]:
    """What `envdoc check` finds wrong in the box: its failed and crashed checks, as the JSON tells them."""
    arguments = [str(envdoc), "check", "--python", str(box.clone.python), "--format", "json"]
    completed = subprocess.run(
        box.command(*arguments, *box.arguments, *(["--quick"] if quick else [])),
        env=box.environ,
        cwd=box.work,
        capture_output=True,
        timeout=LIMIT_SECONDS,
    )
    assert completed.returncode in (0, 1), completed.stderr.decode("utf-8", "replace")
    checks = json.loads(completed.stdout)["checks"]
    return [check for check in checks if check["status"] in ("fail", "crashed")]


def raised(found: List[Dict[str, Any]], healthy: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """What the fault added to what the healthy machine shows already."""
    before: Set[Tuple[str, str]] = {(check["code"], check["title"]) for check in healthy}
    return [check for check in found if (check["code"], check["title"]) not in before]
