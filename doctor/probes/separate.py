"""One child a probe, two at a time: the plain way, and the one that the fork server falls back to.

A child has a session of its own, a temporary folder that is removed with whatever it left there, a time limit, and
no network by its libraries' own switches.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Tuple, Union

from envdoc.doctor.facts.snapshot import ProbeResult
from envdoc.doctor.lifeline import Lifeline
from envdoc.doctor.probes.endings import interpret

STREAMS = ("stdout", "stderr")  # files in the child's folder


@dataclass(frozen=True)
class Job:
    """A probe that is to be run: its script, its time limit, and whether it may see the GPUs."""

    name: str
    script: Path
    timeout_seconds: float
    gpu: bool


class Separate:
    """Jobs that wait and children that run."""

    def __init__(self, python: str, on_start: Callable[[str], None]) -> None:
        self.python = python
        self.on_start = on_start
        self.waiting: List[Job] = []
        self.results: Dict[str, ProbeResult] = {}
        self._running: List[_Child] = []

    @property
    def busy(self) -> bool:
        """True while a job waits or runs."""
        return bool(self.waiting or self._running)

    @property
    def running(self) -> List[str]:
        """The names of the children that run."""
        return [child.job.name for child in self._running]

    def poll(self, most_at_once: int, may_start: Callable[[Job], bool] = lambda job: True) -> None:
        """Start what may start and collect what has ended; never waits."""
        while self.waiting and len(self._running) < most_at_once and may_start(self.waiting[0]):
            job = self.waiting.pop(0)
            self.on_start(job.name)
            started = _start(self.python, job)
            if isinstance(started, ProbeResult):
                self.results[job.name] = started
            else:
                self._running.append(started)
        for child in [child for child in self._running if child.has_ended()]:
            self._running.remove(child)
            self.results[child.job.name] = child.result()

    def close(self) -> None:
        """End every child that runs and forget what waits."""
        self.waiting.clear()
        while self._running:
            self._running.pop().end()


def environment(folder: str, gpu: bool) -> Dict[str, str]:
    """The variables of a child whose folder that is."""
    env = dict(os.environ, TMPDIR=folder, HF_HOME=folder)
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing is written beside the scripts or into the target
    env["COLUMNS"] = "400"  # accelerate and typer let rich print tracebacks, which breaks their lines
    env.pop("PYTHONSAFEPATH", None)  # the scripts import _probe from beside them
    if not gpu:
        env["CUDA_VISIBLE_DEVICES"] = ""
    return env


def start(
    command: List[str], env: Mapping[str, str], folder: str
) -> "Union[subprocess.Popen[bytes], OSError, ValueError]":
    """Start `command` in a session of its own with its output in files of `folder`; the error where it cannot.

    It ends with envdoc, and so does what it forks in its group.
    """
    try:
        lifeline = Lifeline()
        with Path(folder, STREAMS[0]).open("wb") as out, Path(folder, STREAMS[1]).open("wb") as err:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,  # files: a pipe that nobody reads stops a child
                stderr=err,
                env=dict(env),
                cwd=folder,
                start_new_session=True,
                pass_fds=lifeline.inherited,
                preexec_fn=lifeline.before_exec,
            )
        lifeline.keep(process)
        return process
    except (OSError, ValueError) as error:
        return error


def streams(folder: str) -> Tuple[str, str]:
    """What a child wrote on its stdout and stderr; "" where it did not come so far."""
    texts = []
    for stream in STREAMS:
        try:
            texts.append(Path(folder, stream).read_text(encoding="utf-8", errors="replace"))
        except OSError:
            texts.append("")
    return texts[0], texts[1]


def kill_group(pid: int) -> bool:
    """Kill that process group; False where it is gone."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


@dataclass
class _Child:
    """A probe that runs."""

    job: Job
    process: "subprocess.Popen[bytes]"
    started: float
    folder: str
    timed_out: bool = False

    def has_ended(self) -> bool:
        """True where the process is gone; kills it and what it started once its time is over."""
        if self.process.poll() is not None:
            return True
        if time.monotonic() - self.started < self.job.timeout_seconds:
            return False
        self.timed_out = True
        self._kill()
        return True

    def result(self) -> ProbeResult:
        """How it ended, as a result; the process is gone and its files are removed afterwards."""
        seconds = round(time.monotonic() - self.started, 2)
        stdout, stderr = streams(self.folder)
        self.end()
        limit = self.job.timeout_seconds if self.timed_out else None
        return interpret(self.job.name, self.process.returncode, stdout, stderr, seconds, limit)

    def end(self) -> None:
        """Kill whatever is left of its process group, and remove its files."""
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        if not kill_group(self.process.pid):  # also what a probe that has ended left running
            self.process.kill()
        self.process.wait()


def _start(python: str, job: Job) -> Union[_Child, ProbeResult]:
    try:
        folder = tempfile.mkdtemp(prefix="envdoc-")
    except OSError as error:
        return ProbeResult(job.name, "crashed", error=f"there is no temporary folder: {error}")
    started = time.monotonic()
    process = start([python, str(job.script)], environment(folder, job.gpu), folder)
    if isinstance(process, subprocess.Popen):
        return _Child(job, process, started, folder)
    shutil.rmtree(folder, ignore_errors=True)
    return ProbeResult(job.name, "crashed", error=f"{python} could not be started: {process}")
