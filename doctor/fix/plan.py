"""Findings to a plan: what would be done about each, what it downloads, and what it needs of the disk.

Pure but for what it is given; nothing is changed by making a plan.
"""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Dict, Optional, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check, Severity
from envdoc.doctor.fix.choose import Choice
from envdoc.doctor.fix.generations import Generation

TRAINING_PACKAGES = ("torch", "transformers", "peft", "accelerate")
_MARGIN_BYTES = (
    300_000_000  # the environment's own pip, compiled files, probes; and a file system's last blocks
)


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
    disk_bytes: int = 0
    least_disk_bytes: int = 0
    free_bytes: Optional[int] = None

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
            "download_bytes": self.download_bytes,
            "least_download_bytes": self.least_download_bytes,
            "disk_bytes": self.disk_bytes,
            "free_bytes": self.free_bytes,
            "actions": [
                {
                    "code": action.code,
                    "title": action.title,
                    "how": action.how.value,
                    "severity": action.severity.value,
                    "reason": action.reason,
                    "commands": list(action.commands),
                }
                for action in self.actions
            ],
        }


def make_plan(
    checks: Sequence[Check],
    choice: Choice,
    snapshot: Snapshot,
    current: Optional[Generation] = None,
    installer: str = "pip",
    free_bytes: Optional[int] = None,
    wanted: Optional[str] = None,
    only: Sequence[str] = (),
) -> Plan:
    """The plan for these findings on that machine.

    A new generation is wanted where the target holds no training environment, where a finding needs one, or where
    `wanted` names a profile that the target is not. An info never stops a run and is not planned for, unless `only`,
    which keeps the findings of those codes, names it. `current` is the
    generation that is switched to; the target is compared with it by its folder.
    """
    failed = [
        check
        for check in checks
        if check.failed and (check.code in only if only else check.severity is not Severity.INFO)
    ]
    needing = [check for check in failed if check.needs_new_environment]
    absent = [name for name in TRAINING_PACKAGES if snapshot.package(name) is None]
    is_current = current is not None and _same(snapshot.interpreter.prefix, current.folder)
    is_lock = is_current and current is not None and choice.profile is not None
    is_lock = (
        is_lock and current is not None and current.lock_sha256 == getattr(choice.profile, "lock_sha256", "")
    )
    if absent and not (only and not needing):
        why = f"The target has no training environment: {', '.join(absent)} {_are(absent)} not installed."
    elif needing:
        why = f"{', '.join(dict.fromkeys(check.code for check in needing))} can be mended by a new environment only."
    elif wanted is not None and not is_lock:
        why = f"You asked for the profile `{wanted}`, and the target is not built from its lock."
    else:
        why = ""
    builds = bool(why)
    if not builds:
        why = (
            f"The target is the generation `{current.name}` of this lock."
            if is_lock and current is not None
            else "No finding needs a new environment."
        )
    profile = choice.profile if builds else None
    kept = (
        2 if installer == "pip" else 1
    )  # pip's cache and its temporary folder both hold every wheel until the end
    least = profile.cpu_build if profile else None
    return Plan(
        choice=choice,
        builds=builds,
        why=why,
        actions=tuple(_action(check, builds, choice) for check in failed),
        installer=installer,
        download_bytes=profile.download_bytes if profile else 0,
        least_download_bytes=(least or profile).download_bytes if profile else 0,
        disk_bytes=kept * profile.download_bytes + profile.venv_bytes + _MARGIN_BYTES if profile else 0,
        least_disk_bytes=(
            kept * (least or profile).download_bytes + (least or profile).venv_bytes + _MARGIN_BYTES
            if profile
            else 0
        ),
        free_bytes=free_bytes,
    )


def _action(check: Check, builds: bool, choice: Choice) -> Action:
    commands = check.fix.commands
    if check.needs_new_environment and builds and choice.profile is not None:
        reason = f"The new environment is built from `{choice.profile.name}`."
        return Action(check.code, check.title, How.NEW_ENVIRONMENT, check.severity, reason)
    if check.needs_new_environment:
        reason = "A new environment would mend it, and no profile fits this machine."
        return Action(check.code, check.title, How.PRINTED, check.severity, reason, commands)
    if check.fix.safe and commands:
        reason = (
            "Safe to run as it stands: it changes nothing that is not envdoc's or this environment's own."
        )
        return Action(check.code, check.title, How.IN_PLACE, check.severity, reason, commands)
    if not commands:
        reason = f"No command mends it; `envdoc explain {check.code}` says what does."
        return Action(check.code, check.title, How.PRINTED, check.severity, reason)
    whose = {
        "host": "It changes the machine itself, which envdoc never does.",
        "data": "It concerns your data; envdoc changes no file of yours.",
        "script": "It concerns your own script.",
        "library": "It needs a judgement, or changes an environment that is not envdoc's own.",
    }
    return Action(check.code, check.title, How.PRINTED, check.severity, whose[check.kind.value], commands)


def _same(prefix: str, folder: Path) -> bool:
    return bool(prefix) and Path(prefix).resolve() == folder.resolve()


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
