"""A rank meets the others: roll call, comparison, process group. Before anything heavy is loaded."""

import contextlib
import json
import os
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Dict, List, Mapping, Optional

from envdoc.train.config import Run
from envdoc.train.errors import ConfigError
from envdoc.train.parallel import facts, process, world
from envdoc.train.parallel.notes import ATTEMPT, FOLDER

# A rank that is stuck in a sum for this long has lost another: torch's own default for gloo.
GROUP_LIMIT = timedelta(minutes=30)

# What accelerate and transformers take for "you are one rank of many" (accelerate/state.py). They are left in the
# belief that they are alone: rows are shared by world.py, gradients exchanged by torch's DDP or FSDP, laid on by us.
TOLD_BY_ENVIRONMENT = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "ROLE_RANK")


@dataclass(frozen=True)
class Place:
    """What the agent told this process."""

    rank: int
    size: int
    nodes: int
    host: str
    port: int
    attempt: int


def _place() -> Place:
    told = os.environ
    return Place(
        rank=int(told["RANK"]),
        size=int(told["WORLD_SIZE"]),
        nodes=int(told["GROUP_WORLD_SIZE"]),
        host=told["MASTER_ADDR"],
        port=int(told["MASTER_PORT"]),
        attempt=int(told[ATTEMPT]),
    )


def join(run: Run, resume: bool, context: Mapping[str, Any]) -> bool:
    """Meet the other ranks; True where the run goes on from a checkpoint. Nothing happens in a single process.

    Where one rank was started again all go on from the newest checkpoint, if one was written. Raises
    ConfigError, the same in every rank, where a rank does not come in time or is not like the others.
    """
    if FOLDER not in os.environ:
        if run.parallel.strategy in ("fsdp", "deepspeed"):
            raise ConfigError(
                f"`parallel.strategy` is {run.parallel.strategy}, and this run is a single process.",
                "Start it in several with `--nproc 2` or `--nproc auto`, or leave the strategy out.",
            )
        return resume
    import torch

    stage = 0
    if run.parallel.strategy == "deepspeed":
        from envdoc.train.parallel import zero

        stage = zero.check_settings(run)
    place = _place()
    seconds = run.parallel.join_seconds
    store = _store(place, seconds)
    process.watch(store, place.rank, place.size)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    mine = facts.of_this_rank(run, context.get("envdoc_version"))
    told = _roll_call(store, place, {**mine, "resume": resume, "again": place.attempt > 0}, seconds)
    sentence = facts.difference(told, run.parallel.allow_mixed)
    if sentence:
        raise ConfigError(
            sentence,
            "Give every node the same environment, files and run file: `envdoc fix --lock FILE --apply` builds "
            "the same environment from one lockfile.",
        )
    _group(store, place)
    strategy = "ddp" if run.parallel.strategy == "auto" else run.parallel.strategy
    world.enter(world.World(place.rank, place.size, place.nodes, strategy, store, stage))
    if run.train.batch_size != "auto":  # the plan shares evenly by itself
        world.check_accumulation(run.train.batch_size, run.train.accumulation)
    for name in TOLD_BY_ENVIRONMENT:
        os.environ.pop(name, None)
    again = any(rank["again"] for rank in told)
    found = world.from_main(again and any(run.folder.glob("checkpoint-*")))
    return bool(found or any(rank["resume"] for rank in told))


def _store(place: Place, seconds: int) -> Any:
    """The store that rank 0 holds. Raises ConfigError where it cannot be reached in time."""
    from torch.distributed import PrefixStore, TCPStore

    try:
        store = TCPStore(
            place.host,
            place.port,
            is_master=place.rank == 0,
            timeout=timedelta(seconds=seconds),
            wait_for_workers=False,  # the roll call waits, and can say who is missing
        )
    except RuntimeError as error:
        raise ConfigError(
            f"Rank {place.rank} on {socket.gethostname()} could not reach rank 0 at {place.host}, port "
            f"{place.port}, within {seconds} s: {str(error).splitlines()[0].rstrip('.')}.",
            "Is the port range between the nodes open? `parallel.join_seconds` waits longer.",
        ) from None
    return PrefixStore("envdoc", store)


def _roll_call(store: Any, place: Place, mine: Dict[str, Any], seconds: int) -> List[Dict[str, Any]]:
    """What every rank tells of itself, in order. Raises ConfigError that names the ranks that did not come."""
    keys = [f"facts/{rank}" for rank in range(place.size)]
    store.set(keys[place.rank], json.dumps(mine))
    try:
        store.wait(keys, timedelta(seconds=seconds))
    except RuntimeError:  # torch.distributed.DistStoreError since 2.1, a RuntimeError before
        there = [rank for rank in range(place.size) if store.check([keys[rank]])]
        missing = [rank for rank in range(place.size) if rank not in there]
        raise ConfigError(missing_ranks(missing, place.size, seconds), _MISSING_HINT) from None
    return [json.loads(store.get(key).decode()) for key in keys]


_MISSING_HINT = (
    "Look at the output of the node that it belongs to; `parallel.join_seconds` gives slow ones more time."
)


def missing_ranks(missing: List[int], size: int, seconds: int) -> str:
    """The sentence for ranks that did not answer the roll call."""
    named = f"Rank {missing[0]}" if len(missing) == 1 else f"Ranks {', '.join(map(str, missing))}"
    return f"{named} of {size} did not come within {seconds} s."


def _group(store: Any, place: Place) -> None:
    """The process group of all ranks: gloo for what is on the CPU, NCCL for what is on a GPU."""
    import torch
    import torch.distributed as dist

    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(
        backend,
        store=dist.PrefixStore("group", store),
        rank=place.rank,
        world_size=place.size,
        timeout=GROUP_LIMIT,
    )


def leave() -> None:
    """Wait for the others at the end: rank 0 holds the store that they read from.

    Whoever is through first closes its connections, which the others may meet as an error: all work is done by then.
    """
    import torch.distributed as dist

    if dist.is_available() and dist.is_initialized():
        with contextlib.suppress(Exception):
            world.add_up(0.0)
            dist.destroy_process_group()


def interface_of(address: str) -> Optional[str]:
    """The name of the network interface that has this IPv4 address: gloo is told it, since it would take the one
    of the machine's name, which often is the loopback."""
    import fcntl
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                asked = struct.pack("256s", name.encode()[:15])
                answer = fcntl.ioctl(probe.fileno(), 0x8915, asked)  # SIOCGIFADDR of linux/sockios.h
            except OSError:  # an interface without an IPv4 address
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None
