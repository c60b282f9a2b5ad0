"""Run the probe scripts in the target interpreter, two at a time, and take every way of ending as a result.

A child has a session of its own, a temporary folder that is removed with whatever it left there, a time limit, and
no network by its libraries' own switches. Only the probes that ask what a GPU does can see one.
"""

import json
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import ProbeResult
from envdoc.doctor.probes.deep import DEEP_GPU_PROBES

# Seconds a probe may take. They took 2 to 10 s each on two cores and 8 to 23 s on a fresh H200 machine (2026-11-24);
# the rest is for a first import from a slow disk. library_imports has a limit of its own for each module.
TIMEOUT_SECONDS: Mapping[str, float] = {
    "torch_runs": 180,
    "library_imports": 420,
    "bitsandbytes_runs": 180,
    "llama_tokenizer": 180,
    "adapter_save": 180,
    "fan_in_fan_out": 180,
    "lora_two_steps": 300,
}
DEFAULT_PROBES: Tuple[str, ...] = tuple(TIMEOUT_SECONDS)
GPU_PROBES = ("torch_runs", "bitsandbytes_runs", "lora_two_steps", *DEEP_GPU_PROBES)
FIRST = (
    "torch_runs",
    "library_imports",
)  # the others all need torch: without it each would hang or die in turn

STAGE = "envdoc-probe: "  # as in _probe.py, which the target imports and envdoc does not
STREAMS = ("stdout", "stderr")  # files in the child's folder
MOST_AT_ONCE = 2
POLL_SECONDS = 0.05
_EXCEPTION = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning)\b")


def run_probes(
    python: str,
    names: Sequence[str] = DEFAULT_PROBES,
    on_start: Callable[[str], None] = lambda name: None,
    timeout_seconds: Optional[float] = None,
    folder: Optional[Path] = None,
) -> Tuple[ProbeResult, ...]:
    """Run each probe in a child of `python`; the results come in the order of `names`.

    `timeout_seconds` replaces every probe's own limit; `folder` is where the scripts are (this one). Where
    torch_runs is among the names and ends badly, the probes that need torch are skipped. Raises EnvdocError where a
    name is no probe. Ctrl-C ends the children first.
    """
    scripts = {name: (folder or Path(__file__).parent) / (name + ".py") for name in names}
    for name, script in scripts.items():
        if name.startswith("_") or name in ("runner", "deep") or not script.is_file():
            raise EnvdocError(
                f"There is no probe `{name}`.", "The probes: " + ", ".join(DEFAULT_PROBES) + "."
            )
    # torch_runs decides whether the others start at all, so it goes first whatever the order
    waiting = sorted(
        dict.fromkeys(names), key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST)
    )
    limit = min(MOST_AT_ONCE, os.cpu_count() or 1)
    results: Dict[str, ProbeResult] = {}
    running: List[_Child] = []
    try:
        while waiting or running:
            while waiting and len(running) < limit and _may_start(waiting[0], names, results):
                name = waiting.pop(0)
                if name not in FIRST and _is_broken(results.get("torch_runs")):
                    results[name] = ProbeResult(name, "skipped", error="torch does not run; see torch_runs")
                    continue
                on_start(name)
                seconds = TIMEOUT_SECONDS.get(name, 180) if timeout_seconds is None else timeout_seconds
                started = _start(python, name, scripts[name], seconds)
                if isinstance(started, ProbeResult):
                    results[name] = started
                else:
                    running.append(started)
            for child in [child for child in running if child.has_ended()]:
                running.remove(child)
                results[child.name] = child.result()
            if running:
                time.sleep(POLL_SECONDS)
    finally:  # on Ctrl-C, and on an exception in on_start
        for child in running:
            child.end()
    return tuple(results[name] for name in names)


def _may_start(name: str, names: Sequence[str], results: Mapping[str, ProbeResult]) -> bool:
    return name in FIRST or "torch_runs" not in names or "torch_runs" in results


def _is_broken(result: Optional[ProbeResult]) -> bool:
    return result is not None and result.status not in ("ran", "skipped")


@dataclass
class _Child:
    """A probe that runs: its output goes to files, since a pipe that nobody reads stops it."""

    name: str
    process: "subprocess.Popen[bytes]"
    started: float
    timeout_seconds: float
    folder: "tempfile.TemporaryDirectory[str]"
    timed_out: bool = False

    def has_ended(self) -> bool:
        """True where the process is gone; kills it and what it started once its time is over."""
        if self.process.poll() is not None:
            return True
        if time.monotonic() - self.started < self.timeout_seconds:
            return False
        self.timed_out = True
        self._kill()
        return True

    def result(self) -> ProbeResult:
        """How it ended, as a result; the process is gone and its files are removed afterwards."""
        seconds = round(time.monotonic() - self.started, 2)
        stdout, stderr = (
            Path(self.folder.name, stream).read_text(encoding="utf-8", errors="replace") for stream in STREAMS
        )
        self.end()
        limit = self.timeout_seconds if self.timed_out else None
        return interpret(self.name, self.process.returncode, stdout, stderr, seconds, limit)

    def end(self) -> None:
        """Kill whatever is left of its process group, and remove its files."""
        self._kill()
        self.folder.cleanup()

    def _kill(self) -> None:
        try:
            os.killpg(self.process.pid, signal.SIGKILL)  # also what a probe that has ended left running
        except (ProcessLookupError, PermissionError):
            self.process.kill()
        self.process.wait()


def _start(python: str, name: str, script: Path, timeout_seconds: float) -> Union[_Child, ProbeResult]:
    folder = tempfile.TemporaryDirectory(prefix="envdoc-")
    env = dict(os.environ, TMPDIR=folder.name, HF_HOME=folder.name)
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing is written beside the scripts or into the target
    env["COLUMNS"] = "400"  # accelerate and typer let rich print tracebacks, which breaks their lines
    if name not in GPU_PROBES:
        env["CUDA_VISIBLE_DEVICES"] = ""
    try:
        with Path(folder.name, STREAMS[0]).open("wb") as out, Path(folder.name, STREAMS[1]).open("wb") as err:
            process = subprocess.Popen(
                [python, str(script)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=env,
                cwd=folder.name,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        folder.cleanup()
        return ProbeResult(name, "crashed", error=f"{python} could not be started: {error}")
    return _Child(name, process, time.monotonic(), timeout_seconds, folder)


def interpret(
    name: str,
    returncode: int,
    stdout: str,
    stderr: str,
    seconds: float,
    timeout_seconds: Optional[float] = None,
) -> ProbeResult:
    """The result of a child that ended so; `timeout_seconds` is the limit where it was killed at that."""
    data = _last_line(stdout)
    stages = [line[len(STAGE) :] for line in stderr.splitlines() if line.startswith(STAGE)]
    while_at = f" while {stages[-1]}" if stages else ""
    if timeout_seconds is not None:
        error = f"not done after {timeout_seconds:g} s{while_at}"
        return ProbeResult(name, "timeout", data or {}, error, seconds)
    if returncode < 0:
        try:
            ended_by = signal.Signals(-returncode).name
        except ValueError:
            ended_by = f"signal {-returncode}"
        return ProbeResult(name, "signal", data or {}, ended_by + while_at, seconds)
    if returncode > 0:
        error = _exception(stderr) or f"ended with status {returncode}"
        return ProbeResult(name, "crashed", data or {}, error + while_at, seconds)
    if data is None:
        shown = (stdout.strip().splitlines() or ["nothing"])[-1][:80]
        return ProbeResult(name, "crashed", {}, f"printed no result on its last line, but: {shown}", seconds)
    if "skipped" in data:
        return ProbeResult(name, "skipped", {}, str(data["skipped"]), seconds)
    return ProbeResult(name, "ran", data, "", seconds)


def _last_line(stdout: str) -> Optional[Dict[str, object]]:
    lines = stdout.strip().splitlines()
    try:
        data = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _exception(stderr: str) -> str:
    """The exception that a traceback ends with, on one line; "" where there is no traceback."""
    lines = [line for line in stderr.splitlines() if line.strip() and not line.startswith(STAGE)]
    found = [index for index, line in enumerate(lines) if _EXCEPTION.match(line)]
    return " ".join(" ".join(lines[found[-1] :]).split())[:300] if found else ""
