"""Findings to a plan: what would be done about each, what it downloads, and what it needs of the disk.

Pure but for what it is given; nothing is changed by making a plan.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check, Kind, Severity
from envdoc.doctor.fix.choose import Choice
from envdoc.doctor.fix.difference import Difference
from envdoc.doctor.fix.generations import Generation
from envdoc.doctor.fix.rate import Rate
from envdoc.doctor.fix.room import MARGIN_BYTES, Room
from envdoc.doctor.fix.settings import Step

TRAINING_PACKAGES = ("torch", "transformers", "peft", "accelerate")
# Codes of these families are about the machine, its variables or a script: another environment has them too.
_OUTSIDE = ("CFG", "DRV", "GPU", "NET", "SYS")


class How(str, Enum):
    """What becomes of a finding."""

    NEW_ENVIRONMENT = "new-environment"
    IN_PLACE = "in-place"
    PRINTED = "printed"


@dataclass(frozen=True)
class Action:
    """One failing check and what the plan does about it."""

    code: str
    title: str
    how: How
    severity: Severity
    reason: str = ""
    commands: Tuple[str, ...] = ()
    steps: Tuple[Step, ...] = ()  # of a finding that is mended in place: exactly what is done


@dataclass(frozen=True)
class Plan:
    """What `envdoc fix` shows and `envdoc fix --apply` does.

    `builds` says whether a new generation is wanted; it can only be built where `choice.profile` is there. The
    sizes are those of torch's default wheel; `least_download_bytes` is smaller where an index may offer torch's
    CPU build. `disk_bytes` is what the build needs at once at its fullest.
    """

    choice: Choice
    builds: bool
    why: str
    actions: Tuple[Action, ...] = ()
    installer: str = "pip"
    download_bytes: int = 0
    least_download_bytes: int = 0
    cached_bytes: Optional[int] = None  # of the download, what is here already; None where that is not known
    disk_bytes: int = 0
    least_disk_bytes: int = 0
    free_bytes: Optional[int] = None
    rooms: Tuple[Room, ...] = ()  # each disk that the build writes to
    rate: Optional[Rate] = None  # how fast files come here; None where nothing was measured
    difference: Optional[Difference] = None  # None: no new environment, or nobody asked
    reuses: str = ""  # a generation of the same lock that is there: it is checked and used again
    probes: str = ""  # "run", "remembered" or "not run"; empty where nothing says
    probes_at: str = ""  # when the remembered ones ran (ISO 8601)

    @property
    def missing_bytes(self) -> int:
        """What must still be downloaded; all of it where nothing is known of caches."""
        return max(0, self.download_bytes - (self.cached_bytes or 0))

    @property
    def disk_after_bytes(self) -> int:
        """What the new environment takes when it is there; uv's cache shares it where both are on one disk."""
        return self.choice.profile.venv_bytes if self.builds and self.choice.profile is not None else 0

    @property
    def steps(self) -> Tuple[Step, ...]:
        """Everything that is done in place, each step once."""
        return tuple(dict.fromkeys(step for action in self.actions for step in action.steps))

    @property
    def nothing_to_do(self) -> bool:
        """True where no generation is wanted and no finding is left."""
        return not self.builds and not self.actions

    def to_json(self) -> Dict[str, Any]:
        """The plan as plain data, for `--format json`."""
        profile, python = self.choice.profile, self.choice.python
        return {
            "schema_version": 1,
            "builds": self.builds,
            "why": self.why,
            "profile": profile.name if profile else None,
            "lock_sha256": profile.lock_sha256 if profile else None,
            "python": python.path if python else None,
            "installer": self.installer,
            "reasons": list(self.choice.reasons),
            "rejected": [{"profile": name, "fact": fact} for name, fact in self.choice.rejected],
            "gpu_unused": self.choice.gpu_unused,
            **self.choice.to_json(),
            "download_bytes": self.download_bytes,
            "least_download_bytes": self.least_download_bytes,
            "cached_bytes": self.cached_bytes,
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
            "disk_after_bytes": self.disk_after_bytes,
            "disks": [room.to_json() for room in self.rooms],
            "download_seconds": round(self.rate.seconds(self.missing_bytes), 1) if self.rate else None,
            "rate": self.rate and vars(self.rate),
            "reuses": self.reuses or None,
            "probes": self.probes or None,
            "probes_at": self.probes_at or None,
            "actions": [
                {
                    "code": action.code,
                    "title": action.title,
                    "how": action.how.value,
                    "severity": action.severity.value,
                    "reason": action.reason,
                    "commands": list(action.commands),
                    "steps": [{**step.to_json(), "text": step.text()} for step in action.steps],
                }
                for action in self.actions
            ],
            **({"diff": self.diff_json()} if self.difference is not None else {}),
        }

    def diff_json(self) -> Dict[str, Any]:
        """What changes: packages, variables and folders, as plain data."""
        packages = self.difference.to_json() if self.difference is not None else Difference().to_json()
        return {**packages, "settings": [step.text() for step in self.steps]}

    def diff_lines(self) -> List[str]:
        """What changes, a line each: `- torch 2.0.1`, `+ torch 2.11.0`, then the variables and folders."""
        packages = self.difference.lines() if self.difference is not None else []
        return [*packages, *(f"~ {step.text()}" for step in self.steps)]


def make_plan(
    checks: Sequence[Check],
    choice: Choice,
    snapshot: Snapshot,
    current: Optional[Generation] = None,
    installer: str = "pip",
    free_bytes: Optional[int] = None,
    wanted: Optional[str] = None,
    only: Sequence[str] = (),
    asked: str = "",
    in_place: Callable[[Check], Tuple[Step, ...]] = lambda check: (),
) -> Plan:
    """The plan for these findings on that machine.

    A new generation is wanted where the target holds no training environment, where a finding needs one, where
    `wanted` names a profile that the target is not, or where `asked` says why the caller wants one in any case. An
    info never stops a run and is not planned for, unless `only`, which keeps the findings whose code starts with one
    of its prefixes, names it. `current` is the generation that is switched to; the target is compared with it by its
    folder. `in_place` says what mends a finding in place.
    """
    failed = [
        check
        for check in checks
        if check.failed
        and (check.code.startswith(tuple(only)) if only else check.severity is not Severity.INFO)
    ]
    needing = [check for check in failed if check.needs_new_environment or _is_of_packages(check, in_place)]
    absent = [name for name in TRAINING_PACKAGES if snapshot.package(name) is None]
    is_current = current is not None and _same(snapshot.interpreter.prefix, current.folder)
    is_lock = is_current and current is not None and choice.profile is not None
    is_lock = (
        is_lock and current is not None and current.lock_sha256 == getattr(choice.profile, "lock_sha256", "")
    )
    if absent and not (only and not needing):
        why = f"The target has no training environment: {', '.join(absent)} {_are(absent)} not installed."
    elif needing:
        codes = ", ".join(dict.fromkeys(check.code for check in needing))
        why = f"{codes} can be mended by a new environment only: envdoc repairs no package where it lies."
    elif wanted is not None and not is_lock:
        why = f"You asked for the profile `{wanted}`, and the target is not built from its lock."
    else:
        why = asked
    builds = bool(why)
    if not builds:
        why = (
            f"The target is the generation `{current.name}` of this lock."
            if is_lock and current is not None
            else "No finding needs a new environment."
        )
    if only and not failed and not builds:
        why = f"{', '.join(only)}: nothing is found here."
    profile = choice.profile if builds else None
    kept = (
        2 if installer == "pip" else 1
    )  # pip's cache and its temporary folder both hold every wheel until the end
    least = profile.cpu_build if profile else None
    return Plan(
        choice=choice,
        builds=builds,
        why=why,
        actions=tuple(_action(check, builds, choice, in_place) for check in failed),
        installer=installer,
        download_bytes=profile.download_bytes if profile else 0,
        least_download_bytes=(least or profile).download_bytes if profile else 0,
        disk_bytes=kept * profile.download_bytes + profile.venv_bytes + MARGIN_BYTES if profile else 0,
        least_disk_bytes=(
            kept * (least or profile).download_bytes + (least or profile).venv_bytes + MARGIN_BYTES
            if profile
            else 0
        ),
        free_bytes=free_bytes,
    )


def _is_of_packages(check: Check, in_place: Callable[[Check], Tuple[Step, ...]]) -> bool:
    """An error about the present packages that no setting mends: envdoc repairs none of them where they lie."""
    is_error = check.severity is Severity.ERROR and check.kind is Kind.LIBRARY
    return is_error and not check.code.startswith(_OUTSIDE) and not in_place(check)


def _action(
    check: Check, builds: bool, choice: Choice, in_place: Callable[[Check], Tuple[Step, ...]]
) -> Action:
    commands, profile = check.fix.commands, choice.profile if builds else None
    if check.needs_new_environment and profile is not None:
        reason = f"The new environment is built from `{profile.name}`."
        return Action(check.code, check.title, How.NEW_ENVIRONMENT, check.severity, reason)
    if profile is not None and check.kind is Kind.LIBRARY and not check.code.startswith(_OUTSIDE):
        reason = (
            f"It is about packages of the present environment; the new one has those of `{profile.name}`."
        )
        return Action(check.code, check.title, How.NEW_ENVIRONMENT, check.severity, reason)
    if check.needs_new_environment:
        reason = "A new environment would mend it, and no profile fits this machine."
        return Action(check.code, check.title, How.PRINTED, check.severity, reason, commands)
    steps = in_place(check)
    if steps:
        is_folder = all(step.what == "folder" for step in steps)
        reason = (
            "An empty folder, where a variable already points."
            if is_folder
            else "For `envdoc run`, `shell` and `train`; your own shell stays as it is."
        )
        return Action(check.code, check.title, How.IN_PLACE, check.severity, reason, commands, steps)
    if not commands:
        reason = f"No command mends it; `envdoc explain {check.code}` says what does."
        return Action(check.code, check.title, How.PRINTED, check.severity, reason)
    return Action(check.code, check.title, How.PRINTED, check.severity, _why_not(check), commands)


def _why_not(check: Check) -> str:
    """Why envdoc prints the command of a finding instead of running it."""
    words = [command.split()[0] for command in check.fix.commands]
    if check.kind is Kind.HOST and check.code.startswith("NET"):
        return "Which server and which certificates to trust is your decision."
    if check.kind is Kind.HOST and {"ulimit", "export", "unset", "docker", "conda"} & set(words):
        return "It is a setting of your shell or container, and envdoc cannot tell the right one from here."
    return {
        Kind.HOST: "It changes the machine itself, which envdoc never does.",
        Kind.DATA: "It concerns your data; envdoc changes no file of yours.",
        Kind.SCRIPT: "It concerns your own script.",
        Kind.LIBRARY: "It needs a judgement, or changes an environment that is not envdoc's own.",
    }[check.kind]


def _same(prefix: str, folder: Path) -> bool:
    return bool(prefix) and Path(prefix).resolve() == folder.resolve()


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
