"""envdoc's side of `_ahead.py`: a second core compiles what is unpacked while the installer waits for the network."""

import contextlib
import json
import os
import subprocess
from pathlib import Path
from typing import Optional, Sequence

from envdoc.doctor.fix.bytecode import site_packages
from envdoc.doctor.fix.pins import Pin
from envdoc.doctor.lifeline import Lifeline

_SCRIPT = Path(__file__).parent / "_ahead.py"
_END_SECONDS = 2.0


class Ahead:
    """The process, from `start` to `end`. It is for speed alone: where it cannot run, Python compiles by itself."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for what it writes before that is installed; it need not exist."""
        self.folder = folder
        self._process: Optional[subprocess.Popen[bytes]] = None

    def start(self, environment: Path, archives: str, pins: Sequence[Pin]) -> None:
        """Begin. `archives` is a glob pattern of unpacked wheels; those of other pins are left alone."""
        if self._process is not None or os.environ.get("PYTHONPYCACHEPREFIX"):  # compiled files lie elsewhere
            return
        site = next(iter(site_packages(environment)), None)
        if site is None or len(os.sched_getaffinity(0)) < 2:
            return
        plan = {
            "archives": archives,
            "pins": {pin.name: pin.version for pin in pins},
            "staging": str(self.folder / site.relative_to(environment)),
            "site": str(site),
        }
        with contextlib.suppress(OSError):
            null, lifeline = subprocess.DEVNULL, Lifeline()
            self._process = subprocess.Popen(
                [str(environment / "bin" / "python"), "-E", "-s", "-B", str(_SCRIPT), json.dumps(plan)],
                stdin=null,
                stdout=null,
                stderr=null,
                start_new_session=True,
                pass_fds=lifeline.inherited,
                preexec_fn=lifeline.before_exec,  # and not PR_SET_PDEATHSIG: the thread that starts it ends before it
            )
            lifeline.keep(self._process)

    def end(self) -> None:
        """Let it finish the module that it is at."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
