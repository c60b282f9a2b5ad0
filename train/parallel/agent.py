"""torchrun's agent for the ranks of one node, with three habits of our own.

torchrun itself tells every failing rank apart but ends with exit code 1 for all of them, starts again whatever the
reason was, and gives ranks 30 seconds after a signal. Ours starts again only after failures that another attempt
may not meet, lets the ranks finish the update and the checkpoint after a signal, and leaves nothing on the terminal.

Run on torch 2.13.0 and 2.11.0, on no older one: `LocalElasticAgent._start_workers`, `_monitor_workers`, `_pcontext`.
"""

import contextlib
import os
import signal
from pathlib import Path
from types import FrameType
from typing import Any, Callable, Dict, Optional

from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.rendezvous import RendezvousParameters
from torch.distributed.elastic.rendezvous import registry as rendezvous

from envdoc.train.parallel import compat, notes
from envdoc.train.signals import ASKING

RUN_ID = "envdoc"


class Agent(LocalElasticAgent):  # type: ignore[misc]
    """Starts the ranks of this node, again where that may help; `say` tells the user about it."""

    def __init__(self, spec: Any, folder: Path, say: Callable[[str], None], **options: Any) -> None:
        super().__init__(spec, **options)
        self.folder, self.say = folder, say
        self.signal: Optional[int] = None
        self.starts, self.told = 0, False

    def _start_workers(self, worker_group: WorkerGroup) -> Any:
        notes.clear(self.folder)
        if self.starts and not self.told:
            self.say("A node was lost or has come back; starting again from the last checkpoint.")
        # torch's own count leaves out the starts for which nobody here had failed
        os.environ[notes.ATTEMPT] = str(self.starts)
        self.starts, self.told = self.starts + 1, False
        started = super()._start_workers(worker_group)
        for number in ASKING:  # torch has just set its own
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.hand_on)
        return started

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        result = super()._monitor_workers(worker_group)
        if result.state in (WorkerState.FAILED, WorkerState.UNHEALTHY):
            known = [*notes.read(self.folder, "own"), *notes.read(self.folder, "other")]
            if self.signal is not None or any(note.final for note in known):
                self._remaining_restarts = 0
            elif self._remaining_restarts > 0:
                for note in notes.to_tell(known, []):
                    self.say(f"{note.traceback}{note.message}".rstrip())
                self.say(f"{ended(result.failures)}; starting again from the last checkpoint.")
                self.told = True
        return result

    def hand_on(self, number: int, frame: Optional[FrameType]) -> None:
        """Ctrl-C and SIGTERM reach every rank of this node; they agree with the others on the update to stop at."""
        self.signal = number
        if self._pcontext is None:
            raise KeyboardInterrupt
        for pid in self._pcontext.pids().values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)  # an echo of the terminal's own Ctrl-C is passed over there (signals.py)


def ended(failures: Dict[int, Any]) -> str:
    """ "Rank 1 was ended by SIGKILL, rank 2 ended with exit code 70" of an agent's failures by rank."""
    told = []
    # When one has ended, the rest lose their connection or are ended by the agent: no news, unless it is all there is.
    follow = (-signal.SIGTERM, notes.CUT_OFF)
    first = {rank: failure for rank, failure in failures.items() if failure.exitcode not in follow}
    for rank, failure in sorted((first or failures).items()):
        code = failure.exitcode
        if code < 0:
            told.append(f"rank {rank} was ended by {signal.Signals(-code).name}")
        elif code == notes.CUT_OFF:
            told.append(f"rank {rank} lost its connection to another rank")
        else:
            told.append(f"rank {rank} ended with exit code {code}")
    text = ", ".join(told) or "a rank ended"
    return text[:1].upper() + text[1:]


def make(
    command: Any,
    arguments: Any,
    nproc: int,
    nodes: int,
    endpoint: str,
    is_host: bool,
    address: str,
    restarts: int,
    join_seconds: int,
    folder: Path,
    say: Callable[[str], None],
) -> Agent:
    """An agent that will run `command arguments` in `nproc` ranks here, and meets `nodes` - 1 others at `endpoint`."""
    parameters = RendezvousParameters(
        backend="c10d",  # the one backend that takes a node back that was killed
        endpoint=endpoint,
        run_id=RUN_ID,
        min_nodes=nodes,
        max_nodes=nodes,
        local_addr=address,
        is_host=str(is_host).lower(),
        timeout=join_seconds,
        join_timeout=join_seconds,
        read_timeout=join_seconds,
    )
    spec = WorkerSpec(
        role="rank",
        local_world_size=nproc,
        entrypoint=command,
        args=tuple(arguments),
        rdzv_handler=rendezvous.get_rendezvous_handler(parameters),
        max_restarts=restarts,
        monitor_interval=0.2,
        local_addr=address,
    )
    return Agent(spec, folder, say, **compat.agent_options(folder))
