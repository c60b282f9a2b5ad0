"""Keys that do not go together, each pair with the sentence that says why and what to take instead.

Looked at right after the run file is read, before anything slow: a table, so that a new key adds a row.
"""

from dataclasses import dataclass
from typing import Callable, Tuple

from envdoc.train.config import Run
from envdoc.train.errors import ConfigError


@dataclass(frozen=True)
class Clash:
    """`holds` is true of a run that asks for both; `message` and `hint` are what is then said."""

    holds: Callable[[Run], bool]
    message: str
    hint: str


CLASHES: Tuple[Clash, ...] = (
    Clash(
        lambda run: bool(run.model.revision) and not run.model.trust_remote_code,
        "`model.revision` pins the code of a model, and `model.trust_remote_code` is false, so none would run.",
        "Set `model.trust_remote_code=true`, or leave `model.revision` out.",
    ),
)


def check(run: Run) -> None:
    """Raises ConfigError for the first pair that does not go together."""
    for clash in CLASHES:
        if clash.holds(run):
            raise ConfigError(clash.message, clash.hint)
