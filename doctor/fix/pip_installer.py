"""pip: the one that came with the new environment, with its own configuration."""

import os
import re
from pathlib import Path
from typing import Dict, List, Optional

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.failure import failure_of
from envdoc.doctor.fix.installer import STRICT, Installer, clean_environment
from envdoc.doctor.fix.room import tree_bytes
from envdoc.doctor.tables.versions import numbers
from envdoc.lockfiles import lock_path

# pip below 20.3 does not know manylinux_2_28, the tag of torch's wheels; Python 3.8.0 to 3.9.1 bring such a pip.
_OLDEST = (20, 3)
_LIMIT_SECONDS = 600.0


class PipInstaller(Installer):
    """`python -m pip` of the new environment."""

    name = "pip"

    def __init__(self) -> None:
        self._before = 0

    def prepare(self, python: Path, temporary: Path, wheelhouse: Optional[Path]) -> None:
        """Bring a pip that is too old for the lock's wheels up to date, from a hash in lockfiles/relock.txt."""
        self._before = tree_bytes(python.parent.parent)
        told = run([str(python), "-m", "pip", "--version"], 60.0)
        if not told.ok:
            raise FixError(
                "The new environment has no working pip.", "Try `python -m ensurepip` with that Python."
            )
        if numbers(told.stdout.replace("pip ", "", 1)) >= _OLDEST:
            return
        lock = temporary / "pip.txt"
        lock.write_text("\n".join(_pins_of("pip", lock_path("relock").read_text(encoding="utf-8"))) + "\n")
        environ = clean_environment(os.environ, temporary, self.variables())
        done = run(self.command(python, lock, wheelhouse, False), _LIMIT_SECONDS, env=environ)
        if not done.ok:
            raise failure_of(self.name, done.stdout + done.stderr, done.returncode, lock)

    def command(self, python: Path, lock: Path, wheelhouse: Optional[Path], again: bool) -> List[str]:
        """A second attempt passes pip's cache by: a broken file may lie in it."""
        command = [str(python), "-m", "pip", "install", "--no-color", "--progress-bar", "off", *STRICT]
        command += ["--no-cache-dir"] if again else []
        if wheelhouse:  # a find-links address of pip's configuration is asked too, and must not hold it up
            command += ["--no-index", "--find-links", str(wheelhouse), "--retries", "0", "--timeout", "3"]
        return [*command, "-r", str(lock)]

    def variables(self) -> Dict[str, str]:
        """A constraint from pip's configuration would only ever contradict the lock, which pins everything."""
        return {"PIP_CONSTRAINT": os.devnull}

    def total_bytes(self, download_bytes: int, venv_bytes: int) -> int:
        """pip keeps every wheel in its temporary folder until the end."""
        return download_bytes + venv_bytes

    def arrived(self, environment: Path, temporary: Path) -> int:
        """Wheels in the temporary folder, and what has been unpacked."""
        return max(0, tree_bytes(environment) - self._before)


def _pins_of(name: str, text: str) -> List[str]:
    """The lines of one package, all its markers, in a lock with hashes."""
    blocks = re.split(r"\n(?=\S)", text)
    return [block for block in blocks if re.match(rf"{re.escape(name)}==", block)]
