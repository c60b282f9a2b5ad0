"""Run the probe scripts in the target interpreter and take every way of ending as a result.

Most probes need the same libraries, whose imports take longer than all that is then looked at. So one child imports
them once and forks the probes (`_server.py`, `forked.py`); where a GPU is, a second one does so for the probes that
may see it. What ends badly there is run again by itself (`separate.py`), and that is the result: a fork is for speed
and never for the verdict. ENVDOC_PROBES=separate runs every probe so from the start.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import ProbeResult
from envdoc.doctor.probes.deep import DEEP_GPU_PROBES
from envdoc.doctor.probes.endings import ENDED_BADLY
from envdoc.doctor.probes.forked import ForkServer
from envdoc.doctor.probes.separate import Job, Separate

# Seconds a probe may take by itself. They took 2 to 10 s each on two cores and 8 to 23 s on a fresh H200 machine
# (2026-11-24); the rest is for a first import from a slow disk. library_imports has a limit of its own for each module.
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
# What proves a new environment in any case. The other three look for faults of a library's version, which are the same
# wherever its lock was installed, and were run when the lock was made: on two cores the rest would wait for them.
PROOF_PROBES = ("torch_runs", "library_imports", "bitsandbytes_runs", "lora_two_steps")
CORES_FOR_ALL = 3
GPU_PROBES = ("torch_runs", "bitsandbytes_runs", "lora_two_steps", *DEEP_GPU_PROBES)
# The modules without which a probe cannot do; one that fails in the fork server is not waited for there.
FORKED: Mapping[str, Tuple[str, ...]] = {
    "torch_runs": ("torch",),
    "bitsandbytes_runs": ("torch", "bitsandbytes"),
    "llama_tokenizer": ("tokenizers", "transformers"),
    "adapter_save": ("torch", "transformers", "peft"),
    "fan_in_fan_out": ("torch", "transformers", "peft"),
    "lora_two_steps": ("torch", "transformers", "accelerate", "peft"),
}
FIRST = (
    "torch_runs",
    "library_imports",
)  # the others all need torch: without it each would hang or die in turn
NO_PROBES = ("runner", "deep", "endings", "forked", "separate")  # what else lies in this folder

MOST_AT_ONCE = 2
MOST_FORKS = 4  # at once, on a machine with as many cores; each holds a few hundred MB of its own
POLL_SECONDS = 0.02
GPU_FILES = (
    "/dev/nvidiactl",
    "/proc/driver/nvidia/version",
    "/dev/dxg",  # WSL
    "/dev/kfd",  # AMD
    "/dev/nvhost-gpu",  # Jetson
    "/dev/nvgpu",
    "/dev/nvmap",
)


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
    run = ProbeRun(python, names, on_start, timeout_seconds, folder)
    try:
        return run.results()
    finally:  # on Ctrl-C, and on an exception in on_start
        run.close()


class ProbeRun:
    """Probes that run while the caller does something else; `results` waits for them, `close` ends what is left."""

    def __init__(
        self,
        python: str,
        names: Sequence[str] = DEFAULT_PROBES,
        on_start: Callable[[str], None] = lambda name: None,
        timeout_seconds: Optional[float] = None,
        folder: Optional[Path] = None,
        is_new: bool = False,
    ) -> None:
        """Start the first children. Arguments as for run_probes; `is_new`: the environment was installed just now.

        In a new environment what Python compiles is kept, since there is nothing yet.
        """
        self._is_new = is_new
        self._names = tuple(names)
        self._jobs = {name: _job(name, timeout_seconds, folder) for name in names}
        self._python = python
        self._on_start = on_start
        self._results: Dict[str, ProbeResult] = {}
        self._separate = Separate(python, on_start)
        self._servers: List[ForkServer] = []
        self._imports: Optional[ForkServer] = (
            None  # the server whose import results are wanted, while it imports
        )
        self._modules: Dict[str, Dict[str, Any]] = {}
        self._started = time.monotonic()
        self._gpus = any(Path(file).exists() for file in GPU_FILES)
        try:
            served = self._start_servers()
        except OSError:  # no room for their files; the plain way says so of each probe
            served = False
        if not served:
            self._all_separately()

    def results(self) -> Tuple[ProbeResult, ...]:
        """Wait until every probe has ended; the results in the order of the names."""
        while True:
            for server in list(self._servers):
                if server in self._servers:  # and was not closed with another
                    self._look_at(server)
            self._separate.poll(MOST_AT_ONCE - min(len(self._servers), MOST_AT_ONCE - 1), self._may_start)
            self._results.update(self._separate.results)
            self._skip_without_torch()
            if all(name in self._results for name in self._names):
                return tuple(self._results[name] for name in self._names)
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """End every child and remove its files."""
        while self._servers:
            self._servers.pop().close()
        self._separate.close()

    def _start_servers(self) -> bool:
        """True where fork servers are at work on every probe that can be forked."""
        forked = [name for name in self._jobs if name in FORKED]
        if os.environ.get("ENVDOC_PROBES") == "separate" or sys.platform != "linux" or len(forked) < 2:
            return False
        on_gpu = [name for name in forked if name in GPU_PROBES] if self._gpus else []
        steps = "new" if self._is_new and not self._gpus else "all"
        if on_gpu:
            self._serve(on_gpu, "gpu", modules=False)
        rest = [name for name in forked if name not in on_gpu]
        if rest or "library_imports" in self._jobs:
            self._serve(rest, steps, modules="library_imports" in self._jobs)
        if "library_imports" in self._jobs:
            self._on_start("library_imports")
        self._separate.waiting += [
            job for name, job in self._jobs.items() if name not in FORKED and name != "library_imports"
        ]
        return True

    def _serve(self, names: Sequence[str], steps: str, modules: bool) -> None:
        cores = len(os.sched_getaffinity(0))
        needed = {module for name in names for module in FORKED[name]}
        known = [m for m, seen in self._modules.items() if "error" in seen or m not in needed | {"torch"}]
        server = ForkServer(
            self._python,
            [self._jobs[name] for name in names],
            steps,
            modules,
            leave_out=known,
            tokens=max(2 if steps == "new" else 1, min(cores, MOST_FORKS) - 1),
            gpus=self._gpus,
            gpu_environment=steps == "gpu",
            is_new=self._is_new,
        )
        self._servers.append(server)
        if modules:
            self._imports = server

    def _look_at(self, server: ForkServer) -> None:
        """Take over what a server has found out, and see to what it left undone."""
        for name in server.poll():
            self._on_start(name)
        torch = server.results.get("torch_runs")
        if server.failed == "torch" or (torch is not None and torch.status in ENDED_BADLY):
            self._all_separately()  # the verdict on torch decides what else is run: that is not left to a fork
            return
        again = [name for name, result in server.results.items() if _needs_a_second_look(result)]
        again += [name for name in server.refused if name not in self._results]
        for name, result in server.results.items():
            if name not in again:
                self._results[name] = result
        self._run_separately(again)
        if server.finished and server is self._imports:
            self._imports = None
            self._go_on(server)
        elif server.finished:
            self._run_separately(server.unstarted)
        if not server.busy and server in self._servers:
            self._servers.remove(server)
            server.close()

    def _go_on(self, server: ForkServer) -> None:
        """Where an import ended the server: a new one goes on without that module."""
        if not server.modules:  # it did not even start
            self._all_separately()
            return
        self._modules.update((module, seen) for module, seen in server.modules.items() if seen)
        left = [module for module, seen in server.modules.items() if not seen]
        without = [name for name in server.unstarted if server.failed in FORKED[name]]
        others = [name for name in server.unstarted if name not in (*without, *server.refused)]
        server.forget_unstarted()
        self._run_separately(without)
        if left and server.failed is None:  # it died beside the imports, and would again
            self._run_separately([*others, "library_imports"])
        elif left:
            try:
                self._serve(others, "all", modules=True)
            except OSError:
                self._run_separately([*others, "library_imports"])
        else:
            self._run_separately(others)
            seconds = round(time.monotonic() - self._started, 2)
            modules = {module: seen for module, seen in self._modules.items() if module != "torch"}
            self._results["library_imports"] = ProbeResult(
                "library_imports", "ran", {"modules": modules}, "", seconds
            )

    def _run_separately(self, names: Sequence[str]) -> None:
        """Put those probes in the queue of the plain way, unless they are there or were."""
        queued = [job.name for job in self._separate.waiting] + self._separate.running
        for name in names:
            if name not in queued and name not in self._results:
                self._separate.waiting.append(self._jobs[name])

    def _all_separately(self) -> None:
        """Forget what the fork servers saw, and start every probe the plain way, torch_runs first."""
        self.close()
        self._results.clear()
        self._separate.results.clear()
        self._separate.waiting = sorted(
            self._jobs.values(), key=lambda job: FIRST.index(job.name) if job.name in FIRST else len(FIRST)
        )

    def _may_start(self, job: Job) -> bool:
        """torch_runs decides whether the others start at all."""
        return job.name in FIRST or "torch_runs" not in self._jobs or "torch_runs" in self._results

    def _skip_without_torch(self) -> None:
        torch = self._results.get("torch_runs")
        if torch is None or torch.status not in ENDED_BADLY:
            return
        for job in [job for job in self._separate.waiting if job.name not in FIRST]:
            self._separate.waiting.remove(job)
            self._results[job.name] = ProbeResult(
                job.name, "skipped", error="torch does not run; see torch_runs"
            )


def proof_probes() -> Tuple[str, ...]:
    """The probes that prove a new environment on this machine."""
    return DEFAULT_PROBES if len(os.sched_getaffinity(0)) >= CORES_FOR_ALL else PROOF_PROBES


def _job(name: str, timeout_seconds: Optional[float], folder: Optional[Path]) -> Job:
    script = (folder or Path(__file__).parent) / (name + ".py")
    if name.startswith("_") or name in NO_PROBES or not script.is_file():
        raise EnvdocError(f"There is no probe `{name}`.", "The probes: " + ", ".join(DEFAULT_PROBES) + ".")
    seconds = TIMEOUT_SECONDS.get(name, 180) if timeout_seconds is None else timeout_seconds
    return Job(name, script, seconds, name in GPU_PROBES)


def _needs_a_second_look(result: ProbeResult) -> bool:
    """A bad end may be the fork's own; so may be an error that names it, in one case of many."""
    return result.status in ENDED_BADLY or "forked subprocess" in repr(result.data)
