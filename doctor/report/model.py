"""What every format is given: the checks of one run, sorted worst first, and how they add up."""

from dataclasses import dataclass
from typing import Dict, NamedTuple, Tuple

from envdoc.doctor.finding import Check, Severity, Status, Target
from envdoc.doctor.version import rules_version as own_rules_version

GROUPS: Dict[str, str] = {
    "DRV": "driver",
    "GPU": "GPU",
    "TOR": "torch",
    "BNB": "bitsandbytes",
    "PKG": "packages",
    "TRF": "transformers",
    "TOK": "tokenizer",
    "PFT": "peft",
    "SYS": "system",
    "NET": "network",
    "CFG": "configuration",
}

SCHEMA_VERSION = 1


class Row(NamedTuple):
    """A line of a rented machine's section: the checks that answer it."""

    label: str
    codes: Tuple[str, ...]
    is_lesser: bool = False  # nothing is said where none of them judged


@dataclass(frozen=True)
class Report:
    """One run of `envdoc check`: which interpreter, every check, and how long it took."""

    envdoc_version: str
    target: Target
    python_version: str
    checks: Tuple[Check, ...]
    seconds: float
    verbose: bool = False
    timings: bool = False
    rented: Tuple[Row, ...] = ()  # of a rented machine's section; empty where the check ran without --online
    taken_at: str = ""  # when the snapshot was taken, as 2026-11-24T16:05:00Z; empty where it does not say
    rule_packages: Tuple[str, ...] = ()  # that brought rules of their own, as "acme-rules-1.2"

    @property
    def rules_version(self) -> str:
        """Two reports with the same one judge the same snapshot alike; read from the files when a format asks."""
        return "+".join((own_rules_version(), *self.rule_packages))

    @property
    def failures(self) -> Tuple[Check, ...]:
        """The failed checks, worst first, then by code."""
        failed = [check for check in self.checks if check.failed]
        return tuple(sorted(failed, key=lambda check: (check.severity.rank, check.code)))

    @property
    def suppressed(self) -> Tuple[Check, ...]:
        """The findings that the project accepts, worst first, then by code."""
        accepted = [check for check in self.checks if check.suppressed is not None]
        return tuple(sorted(accepted, key=lambda check: (check.severity.rank, check.code)))

    @property
    def crashed(self) -> Tuple[Check, ...]:
        """The checks that failed themselves, by code."""
        return self.of_status(Status.CRASHED)

    @property
    def rest(self) -> Tuple[Check, ...]:
        """The checks that passed or could not be judged, by code."""
        return tuple(check for check in self.checks if check.status in (Status.OK, Status.SKIPPED))

    def of_status(self, status: Status) -> Tuple[Check, ...]:
        """The checks that ended so, by code."""
        return tuple(check for check in self.checks if check.status is status)

    def count(self, severity: Severity) -> int:
        """How many checks failed at exactly that severity."""
        return sum(check.severity is severity for check in self.failures)

    def summary(self) -> Dict[str, float]:
        """The counts of the JSON report's `summary`."""
        return {
            "errors": self.count(Severity.ERROR),
            "warnings": self.count(Severity.WARNING),
            "infos": self.count(Severity.INFO),
            "ok": len(self.of_status(Status.OK)),
            "skipped": len(self.of_status(Status.SKIPPED)),
            "crashed": len(self.of_status(Status.CRASHED)),
            "suppressed": len(self.suppressed),
            "seconds": round(self.seconds, 3),
        }

    def exit_code(self, fail_on: str) -> int:
        """0 clean, 1 findings at or above `fail_on`, 2 where a check itself crashed and nothing else is wrong.

        `fail_on` is "error", "warning" or "never".
        """
        threshold = {"error": 0, "warning": 1, "never": -1}[fail_on]
        if any(check.severity.rank <= threshold for check in self.failures):
            return 1
        return 2 if self.crashed and fail_on != "never" else 0


def group(code: str) -> str:
    """The group that a code belongs to: "TOR003" is in "torch"."""
    return GROUPS.get(code[:3], "other")


def acceptance(check: Check) -> str:
    """Why a finding is suppressed, and until when: "no root here, until 2027-01-31"."""
    if check.suppressed is None:
        return ""
    until = f", until {check.suppressed.until}" if check.suppressed.until else ""
    return f"{check.suppressed.reason}{until}"


def plural(count: int, word: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
