"""envdoc's side of the fork server (`_server.py`): start it, read what it tells, end it with all that it forked."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set, Tuple

from envdoc.doctor.facts.snapshot import ProbeResult
from envdoc.doctor.probes.endings import interpret, signal_name
from envdoc.doctor.probes.separate import Job, environment, kill_group, start, streams

SERVER = Path(__file__).parent / "_server.py"
# As in library_imports.py. torch alone is given more: it is the first to be read, from a disk that may be cold.
MODULE_TIMEOUT_SECONDS = 60.0
TORCH_TIMEOUT_SECONDS = 120.0
# A fork finds its libraries in memory: they took 0.1 to 1 s on two cores (2026-11-24). One that hangs is run again
# in a child of its own, with that probe's own limit.
FORK_TIMEOUT_SECONDS = 60.0
ENDING_SECONDS = 2.0  # how long killed processes are waited for before their folder goes


@dataclass
class _Fork:
    job: Job
    keeper: int = 0  # its process; 0 before it was forked
    pid: int = 0  # also of its session; 0 before it started
    since: float = 0.0
    timed_out: bool = False


class ForkServer:
    """One child that imports, and the probes that it forked. `poll` brings the attributes up to date.

    `modules` are the import results by module, in the order of import; `failed` is the module whose import raised,
    died or hung, and ended the server; `results` are the probes that ended, `refused` those that it would not fork.
    """

    def __init__(
        self,
        python: str,
        jobs: Sequence[Job],
        steps: str,
        modules: bool,
        leave_out: Sequence[str] = (),
        tokens: int = 1,
        gpus: bool = False,
        gpu_environment: bool = False,
        is_new: bool = False,
    ) -> None:
        """Start it. In a new environment (`is_new`) what is compiled is kept there, and a fork may import for long."""
        self.modules: Dict[str, Dict[str, Any]] = {}  # {} where there is no result yet
        self.results: Dict[str, ProbeResult] = {}
        self.refused: Set[str] = set()
        self.failed: Optional[str] = None
        self.finished = False
        self._forks = {job.name: _Fork(job) for job in jobs}
        self._importing: Optional[Tuple[str, Optional[str]]] = None
        self._read = 0
        self._fork_seconds = float("inf") if is_new else FORK_TIMEOUT_SECONDS
        self._heard = time.monotonic()
        self._folder = tempfile.mkdtemp(prefix="envdoc-")
        for job in jobs:
            Path(self._folder, job.name).mkdir()
        plan = {
            "steps": steps,
            "modules": modules,
            "leave_out": list(leave_out),
            "tokens": tokens,
            "gpus": gpus,
            "bytecode": is_new,
            "forks": {job.name: self._fork_plan(job) for job in jobs},
        }
        Path(self._folder, "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        env = environment(self._folder, gpu_environment)
        process = start([python, str(SERVER), self._folder], env, self._folder)
        self._process = process if isinstance(process, subprocess.Popen) else None
        if self._process is None:
            self.finished = True

    def _fork_plan(self, job: Job) -> Dict[str, Any]:
        folder = str(Path(self._folder, job.name))
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") if job.gpu else ""
        variables: Mapping[str, Optional[str]] = {
            "TMPDIR": folder,
            "HF_HOME": folder,
            "CUDA_VISIBLE_DEVICES": visible,
        }
        return {"script": str(job.script), "folder": folder, "environ": variables}

    @property
    def running(self) -> List[str]:
        """The probes that have started and not ended."""
        return [name for name, fork in self._forks.items() if fork.pid and name not in self.results]

    @property
    def unstarted(self) -> List[str]:
        """The probes that were not forked, and where the server has finished will not be."""
        return [name for name, fork in self._forks.items() if not fork.keeper]

    def forget_unstarted(self) -> None:
        """The caller sees to those otherwise; one that a process beside the server starts yet is killed."""
        for name in self.unstarted:
            del self._forks[name]

    @property
    def busy(self) -> bool:
        """True while it imports or one of its forks is not done."""
        forked = [name for name, fork in self._forks.items() if fork.keeper]
        return not self.finished or any(name not in self.results for name in forked)

    def poll(self) -> List[str]:
        """Read what is new and see to the limits; the probes that started meanwhile. Never waits."""
        if self._process is None:
            return []
        ended = self._process.poll() is not None  # before reading, so that its last words are read
        started = [name for event in self._events() for name in self._take(event)]
        now = time.monotonic()
        for name in self.running:
            fork = self._forks[name]
            if now - fork.since > min(self._fork_seconds, fork.job.timeout_seconds) and not fork.timed_out:
                fork.timed_out = True
                kill_group(fork.pid)  # its keeper tells of the end
        if not self.finished:
            torch = self._importing is not None and self._importing[0] == "torch"
            limit = TORCH_TIMEOUT_SECONDS if torch else MODULE_TIMEOUT_SECONDS
            if now - self._heard > limit:
                self._process.kill()  # not its group: the keepers live on
                self._process.wait()
                self._fail(f"the import did not end within {limit:g} s")
        if ended and not self.finished:
            self._ended_early()
        self._lost_keepers()
        return started

    def _events(self) -> List[Dict[str, Any]]:
        try:
            with Path(self._folder, "events.jsonl").open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except OSError:
            return []
        text = text[: text.rfind(b"\n") + 1]
        self._read += len(text)
        return [json.loads(line) for line in text.splitlines()]

    def _take(self, event: Dict[str, Any]) -> List[str]:
        self._heard = time.monotonic()
        if "importing" in event:
            self._importing = (event["importing"], event["version"])
        elif "module" in event:
            self._importing = None
            module = event.pop("module")
            self.modules[module] = event
            if "error" in event:
                self.failed, self.finished = module, True
        elif "modules" in event:
            self.modules.update((module, {}) for module in event["modules"])
        elif "probe" in event and event["probe"] not in self._forks:
            if "pid" in event:  # forgotten before the process beside the server came to fork it
                kill_group(event["pid"])
        elif "refused" in event:
            self.refused.add(event["probe"])
        elif "keeper" in event:
            self._forks[event["probe"]].keeper = event["keeper"]
        elif "pid" in event:
            fork = self._forks[event["probe"]]
            fork.pid, fork.since = event["pid"], time.monotonic()
            return [event["probe"]]
        elif "code" in event:
            self._end(event["probe"], event["code"], event["seconds"])
        elif "done" in event:
            self.finished = True
        return []

    def _end(self, name: str, code: int, seconds: float) -> None:
        fork = self._forks[name]
        stdout, stderr = streams(str(Path(self._folder, name)))
        limit = min(self._fork_seconds, fork.job.timeout_seconds) if fork.timed_out else None
        self.results[name] = interpret(name, code, stdout, stderr, seconds, limit)

    def _fail(self, error: str) -> None:
        """Lay the end of the server at the door of the module that it was importing, if any."""
        self.finished = True
        if self._importing is not None:
            self.failed, version = self._importing
            self.modules[self.failed] = {"version": version, "error": error}

    def _ended_early(self) -> None:
        assert self._process is not None
        code = self._process.returncode
        error = f"the process ended with status {code}" if code else "the process ended before the import did"
        self._fail(signal_name(-code) if code < 0 else error)

    def _lost_keepers(self) -> None:
        """A probe whose keeper is gone without a word (the kernel may have killed that for its memory) has crashed."""
        for name, fork in self._forks.items():
            if name in self.results or not fork.keeper or _lives(fork.keeper):
                continue
            for event in self._events():
                self._take(event)
            if name not in self.results:
                self.results[name] = ProbeResult(name, "crashed", error="the process that kept it was killed")

    def close(self) -> None:
        """Kill the server, its keepers, the probes and what they started; remove the folder."""
        if self._process is not None:
            for name in self.running:
                kill_group(self._forks[name].pid)
            if not kill_group(self._process.pid):
                self._process.kill()
            self._process.wait()
            for event in self._events():  # started since the last poll
                self._take(event)
            pids = [
                fork.pid for fork in self._forks.values() if fork.pid and fork.job.name not in self.results
            ]
            for pid in pids:
                kill_group(pid)
            deadline = time.monotonic() + ENDING_SECONDS
            while time.monotonic() < deadline and any(_lives(pid) for pid in pids):
                time.sleep(0.01)
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)
        self.finished = True


def _lives(pid: int) -> bool:
    """True where the process runs; one that is dead may wait for init to collect it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False
