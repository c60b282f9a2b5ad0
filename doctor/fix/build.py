"""One generation in the making: an empty environment, the lock installed into it, the proof that it works, its receipt.

Nothing here switches to anything. The time of every step goes into the receipt (`seconds_by_step`).
"""

import contextlib
import shutil
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence

from envdoc.doctor.errors import FixError
from envdoc.doctor.finding import Check, Kind, Severity
from envdoc.doctor.fix.again import install_again
from envdoc.doctor.fix.ahead import Ahead
from envdoc.doctor.fix.bytecode import link_bytecode, site_packages
from envdoc.doctor.fix.delivery import deliver
from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.installed import installed_packages
from envdoc.doctor.fix.installer import Installer, Report
from envdoc.doctor.fix.journal import now
from envdoc.doctor.fix.kernel import missing_pins
from envdoc.doctor.fix.new_environment import add_pip, bundled_wheels, make_environment
from envdoc.doctor.fix.pins import Machine, read_pins
from envdoc.doctor.fix.pip_config import last_line
from envdoc.doctor.fix.pip_installer import PipInstaller
from envdoc.doctor.fix.plan import Plan
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.room import demand_disk, tree_bytes
from envdoc.doctor.fix.uv_installer import UvInstaller

Examine = Callable[[str], Sequence[Check]]


@dataclass
class Build:
    """What is built, where, with what; `make` does it.

    `earlier` are the folders of whole generations, the newest first, whose compiled modules may be shared.
    """

    plan: Plan
    profile: Profile
    python: Python
    folder: Path
    home: Path
    report: Report
    installer: Installer
    wheelhouse: Optional[Path] = None
    with_kernel: bool = False
    earlier: Sequence[Path] = ()

    def __post_init__(self) -> None:
        self.temporary = self.folder / ".tmp"
        self.ahead = Ahead(self.temporary / "ahead")
        self.log = self.home / "install.log"
        self.total_bytes = self.download_bytes = 0
        self.bundled: List[str] = []
        self.seconds: Dict[str, float] = {}

    def make(self, prove: Examine, accepted_codes: Sequence[str]) -> Dict[str, Any]:
        """Build and prove; what the receipt says about it. Raises FixError; what is then in the folder is waste."""
        started = time.monotonic()
        self.temporary.mkdir()
        self.log.write_bytes(b"")
        with self._step("environment"):
            if self.wheelhouse is None and not self._is_cached:
                self.installer.look_ahead(Path(self.python.path))
            self._make_environment()
        try:
            with self._step("install"):
                self._install()
            self.report("Installed. Checking that a model trains in it.")
            with ThreadPoolExecutor(1) as beside:  # it takes half a second, and torch's import a whole one
                asked = beside.submit(self._look_over)
                with self._step("proof"):
                    checks = prove(str(self._interpreter))
                seen = asked.result()
        finally:
            self.ahead.end()
        errors = errors_of(checks, accepted_codes)
        if errors:
            raise FixError(
                f"The new environment does not work: {errors[0].code} {errors[0].title}. Nothing was switched.",
                errors[0].fix.commands[0]
                if errors[0].fix.commands
                else f"`envdoc explain {errors[0].code}` says more.",
            )
        shutil.rmtree(str(self.temporary), ignore_errors=True)
        return {
            "schema_version": 1,
            "profile": self.profile.name,
            "lock_sha256": self.profile.lock_sha256,
            "python": self.python.path,
            "python_version": self.python.version,
            "installer": self.installer.name,
            "device": "cpu" if self.plan.choice.gpu_unused or self.profile.is_cpu else "any",
            "packages": seen.packages,
            "bytes": seen.bytes,
            "seconds": round(time.monotonic() - started, 1),
            "seconds_by_step": self.seconds,
            "compiled_files_shared": seen.linked,
            "date": now(),
            "checks": dict(Counter(item.status.value for item in checks)),
            "findings": [f"{item.code} {item.title}" for item in checks if item.failed],
        }

    @property
    def _interpreter(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def _machine(self) -> Machine:
        return Machine(self.profile.python, self.profile.glibc, self.profile.machine)

    @property
    def _uv(self) -> str:
        return self.installer.program if isinstance(self.installer, UvInstaller) else ""

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)

    def _make_environment(self) -> None:
        self.report(f"Making `{self.folder.name}` with Python {self.python.version}.")
        if self._is_cached:
            with ThreadPoolExecutor(1) as beside:
                asked = beside.submit(bundled_wheels, self.python.path)
                make_environment(self.python, self.folder, self._uv, with_pip=False)
                self.bundled = asked.result()
            return
        make_environment(self.python, self.folder, self._uv)
        self._share_bytecode("pip")  # to ask it for its configuration takes 0.25 s then, and 0.8 s without

    @property
    def _is_cached(self) -> bool:
        """Whether all that is wanted should lie in uv's cache: it does where this lock was installed before."""
        is_one_lock = (
            self.profile.cpu_build is None and self.profile.cuda_lock is None and not self.with_kernel
        )
        return bool(self._uv) and self.wheelhouse is None and is_one_lock and self._has_same_lock

    @property
    def _has_same_lock(self) -> bool:
        return any(folder.name.endswith(self.profile.lock_sha256[:12]) for folder in self.earlier)

    def _install(self) -> None:
        """By uv where it is here, and by pip where uv cannot work."""
        if self._is_cached:
            self.report(f"Installing {self.profile.title} from uv's cache.")
            lock, machine, bundled = self.profile.lock, self._machine, self.bundled
            where = (self.temporary, self.log, self.report)
            if install_again(self.installer, self.folder, lock, machine, bundled, *where):
                return
            add_pip(self.python, self.folder, self._uv, self.bundled)
        try:
            self._install_all()
        except Failure as failure:
            if failure.kind != "cache" or self.installer.name == "pip":
                raise
            self.report(f"{failure.message} pip goes on instead.")
            self.installer = PipInstaller()
            self._install_all()

    def _install_all(self) -> None:
        self.installer.prepare(self._interpreter, self.temporary, self.wheelhouse)
        if not self._has_same_lock:
            self._compile_ahead()
        least = self.profile.cpu_build
        if least is not None:
            self._expect(least.download_bytes, least.venv_bytes)
            if not self._try_cpu_build(least.requirement):
                self.report(
                    "No index here offers torch's CPU build: its default wheel brings the CUDA libraries along."
                )
                self._expect(self.profile.download_bytes, self.profile.venv_bytes)
                demand_disk(self.home, self.plan.disk_bytes)
        else:
            self._expect(self.profile.download_bytes, self.profile.venv_bytes)
        self._install_lock(self.profile.lock)
        if self.profile.cuda_lock is not None and not list(
            self.folder.glob("lib/*/site-packages/torch-*+cpu.dist-info")
        ):
            self._install_lock(self.profile.cuda_lock)
        if self.with_kernel:
            self._install_kernel()

    def _compile_ahead(self) -> None:
        """Compile the wheels as they are unpacked; what no generation of the same lock has done already."""
        locks = [self.profile.lock, *([self.profile.cuda_lock] if self.profile.cuda_lock else [])]
        pins = [pin for lock in locks for pin in read_pins(lock.read_text(encoding="utf-8"), self._machine)]
        self.ahead.start(self.folder, self.installer.unpacked(), pins)

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

    def _install_kernel(self) -> None:
        """ipykernel and what it needs, each pinned by its hash; what the profile has pinned itself stays as it is."""
        lock = self.temporary / "kernel.txt"
        lock.write_text(missing_pins(list(installed_packages(self.folder))), encoding="utf-8")
        self.report("Adding ipykernel, for Jupyter.")
        self._install_lock(lock)

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
            self._machine,
            self.wheelhouse,
            self.download_bytes,
            self.profile.lock,
        )

    def _look_over(self) -> "_Seen":
        """Share the compiled modules and look at what is installed. Raises FixError where it is inconsistent.

        torch's come first, as in the proof. Where that is the quicker one it compiles a module itself: neither minds.
        """
        with self._step("bytecode"):
            linked = self._share_bytecode("torch")
            if not linked:  # not even of the same lock: uv's cache was emptied since
                self._compile_ahead()
            linked += self._share_bytecode()
        with self._step("consistency"):
            shutil.rmtree(str(self.ahead.folder), ignore_errors=True)
            packages = installed_packages(self.folder)
            self._demand_consistency()
            return _Seen(packages, tree_bytes(self.folder), linked)

    def _demand_consistency(self) -> None:
        is_consistent, told = self.installer.is_consistent(self._interpreter)
        if not is_consistent:
            raise FixError(
                f"The new environment is not consistent: {last_line(told)}",
                "Nothing was switched. Please report this: a lock that ships with envdoc must pass `pip check`.",
            )

    def _share_bytecode(self, package: str = "") -> int:
        """Take over what was compiled ahead and by earlier generations, of one package or of all; how many files."""
        return sum(
            link_bytecode(generation / new.relative_to(self.folder) / package, new / package)
            for new in site_packages(self.folder)
            for generation in (*self.earlier, self.ahead.folder)
        )


@dataclass(frozen=True)
class _Seen:
    """What is in the environment: name -> version, the bytes of its files, the compiled ones that are shared."""

    packages: Dict[str, str]
    bytes: int
    linked: int


def errors_of(checks: Sequence[Check], accepted_codes: Sequence[str]) -> List[Check]:
    """The failing errors that an environment itself causes: those of the host stood before it was built."""
    return [
        item
        for item in checks
        if item.failed
        and item.severity is Severity.ERROR
        and item.kind is Kind.LIBRARY
        and item.code not in accepted_codes
    ]
