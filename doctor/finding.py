"""The one vocabulary that rules, advisories, fix and report share. Imports nothing of ours."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Dict, Optional, Tuple


class Severity(str, Enum):
    """How much a finding matters: an error stops a training run, a warning may, an info never does."""

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for an error, 1 for a warning, 2 for an info: worst first when sorted."""
        return list(Severity).index(self)


class Kind(str, Enum):
    """Whose fault it is; the remedies differ (upgrading a library never cures a data fault)."""

    HOST = "host"
    LIBRARY = "library"
    DATA = "data"
    SCRIPT = "script"


class Status(str, Enum):
    """What became of a check. A crash is a result, never silence."""

    OK = "ok"
    FAIL = "fail"
    SKIPPED = "skipped"
    CRASHED = "crashed"


@dataclass(frozen=True)
class Fix:
    """Commands that mend a finding.

    `safe` means that envdoc may run them itself inside its own folders; anything that needs root, another
    person's folder or a judgement is not safe and is only printed.
    """

    safe: bool = False
    commands: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Suppressed:
    """Why somebody accepts a finding, and the last day (ISO date) on which that holds."""

    reason: str
    until: Optional[str] = None


@dataclass(frozen=True)
class Check:
    """One result of one rule: a failure names both sides, a pass says what was seen."""

    code: str
    name: str
    status: Status
    severity: Severity
    kind: Kind
    title: str
    detail: str = ""
    evidence: Tuple[str, ...] = ()
    affects: Tuple[str, ...] = ()
    fix: Fix = field(default_factory=Fix)
    links: Tuple[str, ...] = ()
    seconds: float = 0.0
    needs_new_environment: bool = False  # a new generation from a lockfile mends it
    suppressed: Optional[Suppressed] = None  # the rule found its fault, and the project accepts it

    @property
    def failed(self) -> bool:
        """True where the rule found its fault and nobody suppressed that."""
        return self.status is Status.FAIL and self.suppressed is None

    def timed(self, seconds: float) -> "Check":
        """The same check as it went in another run. A frozen dataclass's own start takes five times as long."""
        copy = object.__new__(Check)
        copy.__dict__.update(self.__dict__, seconds=seconds)
        return copy

    def to_json(self) -> Dict[str, Any]:
        """The entry of `checks` in the JSON report (DESIGN section 3)."""
        return {
            "code": self.code,
            "name": self.name,
            "status": self.status.value,
            "severity": self.severity.value,
            "kind": self.kind.value,
            "title": self.title,
            "detail": self.detail,
            "evidence": list(self.evidence),
            "affects": list(self.affects),
            "fix": {"safe": self.fix.safe, "commands": list(self.fix.commands)},
            "links": list(self.links),
            "seconds": round(self.seconds, 6),
            "needs_new_environment": self.needs_new_environment,
            "suppressed": None
            if self.suppressed is None
            else {"reason": self.suppressed.reason, "until": self.suppressed.until},
        }


@dataclass(frozen=True)
class Target:
    """Which interpreter is examined, and why that one."""

    path: str
    reason: str
    note: Optional[str] = None
