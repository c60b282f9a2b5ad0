"""`envdoc train --nproc N`: starts the ranks of this node and tells, once, what became of them."""

import contextlib
import logging
import os
import socket
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Optional

from envdoc.train import clashes, runfile
from envdoc.train.errors import ConfigError, Interrupted, TrainError
from envdoc.train.parallel import deepspeed_file, nodes, notes
from envdoc.train.parallel.notes import UNFORESEEN, Note
from envdoc.train.progress import say

MOST_RESTARTS = 3  # torchrun's own default is 0; a node that comes back needs one
PORT = 29400  # torchrun's own default for c10d
TAIL_LINES = 15


@dataclass(frozen=True)
class Ranks:
    """How many processes, on how many nodes, and where they meet."""

    nproc: str = "1"  # a number, or "auto": one for each GPU in sight
    nnodes: int = 1
    node_rank: int = 0
    master_addr: Optional[str] = None
    master_port: int = PORT
    restarts: int = MOST_RESTARTS

    @property
    def many(self) -> bool:
        """False for a run that needs no launcher."""
        return self.nproc != "1" or self.nnodes > 1


def check(ranks: Ranks) -> None:
    """Raises ConfigError for a number that makes no sense, or a meeting place that is missing."""
    if ranks.nproc != "auto" and not (ranks.nproc.isdigit() and int(ranks.nproc) >= 1):
        raise ConfigError(f"`--nproc` must be a number above 0 or `auto`, and is `{ranks.nproc}`.")
    if ranks.nnodes < 1 or not 0 <= ranks.node_rank < ranks.nnodes:
        raise ConfigError(
            f"`--node-rank` is {ranks.node_rank}, and with `--nnodes {ranks.nnodes}` it must be from 0 to "
            f"{max(0, ranks.nnodes - 1)}."
        )
    if ranks.nnodes > 1 and not ranks.master_addr:
        raise ConfigError(
            f"`--nnodes` is {ranks.nnodes}, and `--master-addr` is missing.",
            "Name the host of node 0, the same on every node: `--master-addr HOST --master-port PORT`.",
        )
    if ranks.restarts < 0:
        raise ConfigError(f"`--restarts` must be 0 or more, and is {ranks.restarts}.")


def start(ranks: Ranks, launch_file: Path, given: Any) -> int:
    """Run the command `train` as `given` in every rank of this node and return the run's exit code.

    Raises ConfigError where this node cannot take part, and TrainError with the first rank's failure.
    """
    settings, _ = runfile.load(given.config, given.overrides)  # what is wrong with it is told once, and here
    clashes.check(settings)
    if settings.parallel.strategy == "deepspeed":
        deepspeed_file.check_installed()
        deepspeed_file.read(settings)
    words = ["train", *given.overrides]
    words += ["--config", given.config] if given.config else []
    words += ["--context", given.context] if given.context else []
    words += ["--dry-run"] if given.dry_run else []
    words += ["--resume"] if given.resume else []
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "FATAL"
    )  # else a page of C++ frames for a node that is not there
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = (
        "1"  # each attempt gets a store of its own, as before torch 2.4
    )
    nproc = _nproc(ranks.nproc)
    _threads(nproc)
    logging.disable(logging.CRITICAL)  # torch's agent logs each failure in its own words
    address = _address(ranks)
    with tempfile.TemporaryDirectory(prefix="envdoc-ranks-") as scratch:
        folder = Path(scratch) / "notes"
        folder.mkdir()
        os.environ[notes.FOLDER] = str(folder)
        words = [str(launch_file), "rank", *words]
        return _run(ranks, nproc, address, folder, words, settings.parallel.join_seconds)


def _run(ranks: Ranks, nproc: int, address: str, folder: Path, words: List[str], join_seconds: int) -> int:
    from torch.distributed.elastic.rendezvous import (
        RendezvousClosedError,
        RendezvousConnectionError,
        RendezvousError,
        RendezvousTimeoutError,
    )

    from envdoc.train.parallel import agent as agents

    meeting = f"{ranks.master_addr or address}:{ranks.master_port if ranks.nnodes > 1 else _free_port()}"
    say(
        f"Starting {nproc} process{'es' if nproc > 1 else ''} here"
        + (f", node {ranks.node_rank} of {ranks.nnodes}." if ranks.nnodes > 1 else ".")
    )
    agent, met = None, None
    try:
        agent = agents.make(
            sys.executable, words, nproc, ranks.nnodes, meeting, ranks.node_rank == 0, address,
            ranks.restarts, join_seconds, folder, say,
        )  # fmt: skip
        if ranks.nnodes > 1:
            met = nodes.Nodes(meeting, ranks.nnodes)
            met.tell(ranks.node_rank)
        result = agent.run()
    except RendezvousConnectionError:
        raise ConfigError(
            f"Node {ranks.node_rank} on {socket.gethostname()} could not reach node 0 at {meeting} within "
            f"{join_seconds} s.",
            "Is node 0 started, with `--node-rank 0`, and is that port open?",
        ) from None
    except RendezvousTimeoutError:
        named = nodes.missing(met.there(), ranks.nnodes, join_seconds) if met else None
        raise ConfigError(
            named
            or f"Only {_here(agent)} of {ranks.nnodes} nodes came within {join_seconds} s: {_hosts(agent)}.",
            "Start the same command on every node, with its own `--node-rank`; `parallel.join_seconds` waits longer.",
        ) from None
    except RendezvousClosedError:
        raise _cause(folder) or ConfigError(
            "Another node ended the run.",
            "Its own output says why; checkpoints there are go on with --resume.",
        ) from None
    except RendezvousError as error:
        raise ConfigError(f"The nodes could not meet at {meeting}: {error}.") from None
    except KeyboardInterrupt:
        raise Interrupted("Stopped before the ranks had started.") from None
    finally:
        if agent is not None:
            _close(agent)
    if not result.is_failed():
        return 0
    raise _failure(result, folder, nproc * ranks.nnodes)


def _failure(result: Any, folder: Path, size: int) -> TrainError:
    """The failure of this node's ranks as one error; every other that is worth it is told here."""
    from envdoc.train.parallel.agent import ended

    own, other = notes.read(folder, "own"), notes.read(folder, "other")
    worth = notes.to_tell(own, other)
    known = {note.rank for note in [*own, *other]}
    silent = {rank: failure for rank, failure in result.failures.items() if rank not in known}
    if silent and not [note for note in worth if note.final]:
        rank = min(silent)
        words = _last_words(folder, rank)
        killed = any(failure.exitcode == -9 for failure in silent.values())
        return _error(
            2,
            f"{ended(silent)}, and no attempt is left."
            + (f" Rank {rank} had printed:\n{words}" if words else ""),
            "SIGKILL usually means that the machine ran out of memory; go on with --resume."
            if killed
            else "Checkpoints there are go on with --resume.",
        )
    first, *rest = worth
    for note in rest:
        say(f"error: {notes.attributed(note, size)}")
    if first.traceback:
        say(first.traceback.rstrip())
    code = 2 if first.exit_code in (UNFORESEEN, notes.CUT_OFF) else first.exit_code
    return _error(code, notes.attributed(first, size), first.hint)


def _error(code: int, message: str, hint: Optional[str]) -> TrainError:
    error = TrainError(message, hint)
    error.exit_code = code
    return error


def _cause(folder: Path) -> Optional[TrainError]:
    """What a rank here had learnt of another node's failure."""
    found: List[Note] = notes.read(folder, "other")
    return _error(found[0].exit_code, notes.attributed(found[0], 2), found[0].hint) if found else None


def _last_words(folder: Path, rank: int) -> str:
    from envdoc.train.parallel.process import output_of

    try:
        text = (folder / output_of(rank)).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-TAIL_LINES:])


def _close(agent: Any) -> None:
    """Close the meeting, so that other nodes do not wait for this one; node 0 holds the store they read from."""
    with contextlib.suppress(Exception):  # whatever a store raises that is gone already
        agent._worker_group.spec.rdzv_handler.shutdown()


def _participants(agent: Any) -> List[Any]:
    try:
        return list(agent._rdzv_handler._state_holder.state.participants)
    except AttributeError:  # torch's own names, which nothing promises
        return []


def _here(agent: Any) -> int:
    return len(_participants(agent)) or 1


def _hosts(agent: Any) -> str:
    return ", ".join(sorted(node.addr for node in _participants(agent))) or socket.gethostname()


def _nproc(asked: str) -> int:
    if asked != "auto":
        return int(asked)
    import torch

    found = torch.cuda.device_count()
    return found if found else 1


def _threads(nproc: int) -> None:
    """Ranks share the cores: each would take all of them for itself (torchrun gives one; accelerate, their part)."""
    if nproc > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // nproc)))


def _address(ranks: Ranks) -> str:
    """This node's address as node 0 sees it; gloo and NCCL are told its interface. Raises ConfigError."""
    if ranks.nnodes == 1:
        return "127.0.0.1"
    from envdoc.train.parallel.join import interface_of

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect(
                (str(ranks.master_addr), ranks.master_port)
            )  # a datagram socket sends nothing by this
            address = str(probe.getsockname()[0])
    except OSError as error:
        raise ConfigError(
            f"`--master-addr` is `{ranks.master_addr}`, which this node cannot reach: {error.strerror or error}.",
            "Name node 0 by an address that every node can reach.",
        ) from None
    interface = interface_of(address)
    if interface:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", interface)
        os.environ.setdefault("NCCL_SOCKET_IFNAME", interface)
    return address


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
