"""Carry out a plan: build beside, check, and only then switch. Whatever happens before the switch changes nothing.

interrupted builds removed ─> a whole generation of the same lock that still passes? ─> switch to it
                            └> disk ─> venv ─> install ─> pip check ─> findings ─> receipt ─> switch
"""

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.finding import Check, Kind, Severity
from envdoc.doctor.fix.choose import way_out
from envdoc.doctor.fix.delivery import clear, deliver
from envdoc.doctor.fix.generations import Generation, Generations, now
from envdoc.doctor.fix.installer import Failure, Installer, Report, tree_bytes
from envdoc.doctor.fix.pins import Machine
from envdoc.doctor.fix.pip_config import last_line
from envdoc.doctor.fix.pip_installer import PipInstaller
from envdoc.doctor.fix.plan import Plan
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.pythons import Python, venv_hint
from envdoc.doctor.fix.uv_installer import find_uv
from envdoc.doctor.fix.wheelhouse import require_complete

Examine = Callable[[str], Sequence[Check]]

_VENV_SECONDS = 300.0
_PIP_CHECK_SECONDS = 300.0


def find_installer() -> Installer:
    """uv where it is there, and otherwise the new environment's own pip."""
    return find_uv() or PipInstaller()


def apply(
    plan: Plan,
    home: Path,
    check: Examine,
    report: Report,
    installer: Optional[Installer] = None,
    wheelhouse: Optional[Path] = None,
    accepted_codes: Sequence[str] = (),
) -> Generation:
    """Build the plan's generation, or take the one that is there, and switch to it.

    `check` examines an interpreter, probes and a two-step training run included, and returns every check.
    A failing error of kind LIBRARY refuses the new environment, unless its code is in `accepted_codes` (for what
    the plan has told already: the CPU profile on a machine whose GPU no profile serves). `report` gets one line a
    step and, every few seconds of the installation, the bytes written and the time left. With `wheelhouse` nothing
    is fetched: the wheels come from that folder. Raises FixError, and lets Ctrl-C pass; `current` is then as it was.
    """
    profile, python = plan.choice.profile, plan.choice.python
    if profile is None or python is None:
        facts = "; ".join(f"{name}: {fact}" for name, fact in plan.choice.rejected)
        raise FixError(f"No profile fits this machine. {facts}.", way_out(plan.choice))
    generations = Generations(home)
    with generations.locked():
        for name in generations.remove_incomplete():
            report(f"Removed `{name}`, which an interrupted build had left.")
        ready = _reusable(generations, profile, check, report, accepted_codes)
        if ready is not None:
            return ready if ready.is_current else generations.switch(ready)
        if wheelhouse is not None:
            require_complete(profile, wheelhouse)
        _demand_disk(home, plan.least_disk_bytes)
        folder = generations.begin(profile.name, profile.lock_sha256)
        try:
            build = _Build(
                plan, profile, python, folder, home, report, installer or find_installer(), wheelhouse
            )
            made = generations.complete(folder, build.receipt(check, accepted_codes))
            switched = generations.switch(made)
            clear(home)
            return switched
        except BaseException as error:  # Ctrl-C too: nothing half-built stays, and nothing was switched
            if not _is_whole_and_current(generations, folder):
                report(f"Removing `{folder.name}`: it was not switched to.")
                generations.discard(folder)
            if isinstance(error, OSError):
                raise _full_or_broken(error, home) from error
            raise


def _is_whole_and_current(generations: Generations, folder: Path) -> bool:
    current = generations.current()
    return current is not None and current.folder == folder


def _reusable(
    generations: Generations, profile: Profile, check: Examine, report: Report, accepted_codes: Sequence[str]
) -> Optional[Generation]:
    """The newest generation of the same lock that still passes; None where one must be built."""
    for generation in reversed(generations.list()):
        if generation.lock_sha256 != profile.lock_sha256:
            continue
        if not generation.python.exists():
            report(
                f"`{generation.name}` was built from the same lock, but its Python has moved. Building another."
            )
            continue
        report(f"`{generation.name}` was built from the same lock; checking that it still works.")
        errors = _errors(check(str(generation.python)), accepted_codes)
        if not errors:
            return generation
        report(f"It does not: {errors[0].title}. Building another.")
    return None


class _Build:
    """One generation in the making."""

    def __init__(
        self,
        plan: Plan,
        profile: Profile,
        python: Python,
        folder: Path,
        home: Path,
        report: Report,
        installer: Installer,
        wheelhouse: Optional[Path],
    ) -> None:
        self.plan, self.profile, self.python, self.folder, self.home = plan, profile, python, folder, home
        self.report, self.installer, self.wheelhouse = report, installer, wheelhouse
        self.temporary = folder / ".tmp"
        self.log = home / "install.log"
        self.total_bytes = self.download_bytes = 0

    def receipt(self, check: Examine, accepted_codes: Sequence[str]) -> Dict[str, Any]:
        """Build and check; what the receipt says about it."""
        started = time.monotonic()
        self.temporary.mkdir()
        self.log.write_bytes(b"")
        self._make_environment()
        self._install()
        shutil.rmtree(str(self.temporary), ignore_errors=True)
        interpreter = str(self.folder / "bin" / "python")
        done = run([interpreter, "-m", "pip", "check"], _PIP_CHECK_SECONDS)
        if not done.ok:
            raise FixError(
                f"The new environment is not consistent: {last_line(done.stdout or done.stderr)}",
                "Nothing was switched. Please report this: a lock that ships with envdoc must pass `pip check`.",
            )
        self.report("Installed. Checking that a model trains in it.")
        checks = check(interpreter)
        errors = _errors(checks, accepted_codes)
        if errors:
            raise FixError(
                f"The new environment does not work: {errors[0].code} {errors[0].title}. Nothing was switched.",
                errors[0].fix.commands[0]
                if errors[0].fix.commands
                else f"`envdoc explain {errors[0].code}` says more.",
            )
        return {
            "schema_version": 1,
            "profile": self.profile.name,
            "lock_sha256": self.profile.lock_sha256,
            "python": self.python.path,
            "python_version": self.python.version,
            "installer": self.installer.name,
            "device": "cpu" if self.plan.choice.gpu_unused or self.profile.is_cpu else "any",
            "packages": self._packages(interpreter),
            "bytes": tree_bytes(self.folder),
            "seconds": round(time.monotonic() - started, 1),
            "date": now(),
            "checks": dict(Counter(item.status.value for item in checks)),
            "findings": [f"{item.code} {item.title}" for item in checks if item.failed],
        }

    def _make_environment(self) -> None:
        self.report(f"Making `{self.folder.name}` with Python {self.python.version}.")
        done = run([self.python.path, "-m", "venv", str(self.folder)], _VENV_SECONDS)
        if not done.ok:
            raise FixError(
                f"`{self.python.path} -m venv` failed: {last_line(done.stderr or done.stdout)}",
                venv_hint(self.python.minor),
            )

    def _install(self) -> None:
        self.installer.prepare(self.folder / "bin" / "python", self.temporary, self.wheelhouse)
        least = self.profile.cpu_build
        if least is not None:
            self._expect(least.download_bytes, least.venv_bytes)
            if not self._try_cpu_build(least.requirement):
                self.report(
                    "No index here offers torch's CPU build: its default wheel brings the CUDA libraries along."
                )
                self._expect(self.profile.download_bytes, self.profile.venv_bytes)
                _demand_disk(self.home, self.plan.disk_bytes)
        else:
            self._expect(self.profile.download_bytes, self.profile.venv_bytes)
        self._install_lock(self.profile.lock)
        if self.profile.cuda_lock is not None and not list(
            self.folder.glob("lib/*/site-packages/torch-*+cpu.dist-info")
        ):
            self._install_lock(self.profile.cuda_lock)

    def _expect(self, download_bytes: int, venv_bytes: int) -> None:
        self.download_bytes = download_bytes
        self.total_bytes = self.installer.total_bytes(download_bytes, venv_bytes)
        self.report(
            f"Installing {self.profile.title} with {self.installer.name}: "
            f"{download_bytes / 1e9:.2f} GB to download, {venv_bytes / 1e9:.2f} GB on disk."
        )

    def _try_cpu_build(self, requirement: str) -> bool:
        """Install torch's CPU build by itself first; False where no index has it.

        pip prefers a file whose index page tells its hash, so that of two allowed builds it takes the default wheel
        of an index before a CPU wheel in a plain folder, although the CPU build's version is the higher one.
        """
        lock = self.temporary / "cpu-build.txt"
        lock.write_text(requirement + "\n", encoding="utf-8")
        try:
            self._install_lock(lock)
            return True
        except Failure as failure:
            if failure.kind == "missing":
                return False
            raise

    def _install_lock(self, lock: Path) -> None:
        deliver(
            self.installer,
            self.folder,
            lock,
            self.temporary,
            self.log,
            self.total_bytes,
            self.report,
            self.home,
            Machine(self.profile.python, self.profile.glibc, self.profile.machine),
            self.wheelhouse,
            self.download_bytes,
            self.profile.lock,
        )

    def _packages(self, interpreter: str) -> Dict[str, str]:
        done = run([interpreter, "-m", "pip", "list", "--format", "json"], _PIP_CHECK_SECONDS)
        if not done.ok:
            raise FixError(f"The new environment's packages cannot be listed: {last_line(done.stderr)}")
        listed: List[Dict[str, str]] = json.loads(done.stdout)
        return {item["name"]: item["version"] for item in listed}


def _errors(checks: Sequence[Check], accepted_codes: Sequence[str]) -> List[Check]:
    """The failing errors that an environment itself causes: those of the host stood before it was built."""
    return [
        item
        for item in checks
        if item.failed
        and item.severity is Severity.ERROR
        and item.kind is Kind.LIBRARY
        and item.code not in accepted_codes
    ]


def _demand_disk(home: Path, needed_bytes: int) -> None:
    free = free_bytes(home)
    if free < needed_bytes:
        raise FixError(
            f"The new environment needs {needed_bytes / 1e9:.2f} GB while it is built, and the disk of `{home}` has "
            f"{free / 1e9:.2f} GB free. Nothing was changed.",
            "Make room (`envdoc gc` removes unused generations), or set ENVDOC_HOME to a folder on a larger disk.",
        )


def free_bytes(home: Path) -> int:
    """What the file system that envdoc's folder is on, or will be on, still holds for this user."""
    place = home
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(str(place)).free


def _full_or_broken(error: OSError, home: Path) -> FixError:
    return FixError(
        f"The build stopped: {error.strerror or error}. Nothing was switched.",
        f"Look at the disk of `{home}` (`df -h {home}`), then run it again.",
    )
