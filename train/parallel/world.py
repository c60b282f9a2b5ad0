"""The ranks of this run, as the pipeline sees them: how many, which one, and what they tell each other.

Two ways: small sums over a gloo group, which every rank must reach in the same order; and the store (torch's
TCPStore, held by rank 0), for what one rank does while the others wait, however long it takes. Nothing is pickled:
numbers travel as tensors, everything else as JSON.
"""

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Sequence

from envdoc.train.errors import ConfigError
from envdoc.train.parallel.notes import FOLDER

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class World:
    """`strategy` is "none" in a single process, else "ddp", "fsdp" or "deepspeed"; `stage` is that of ZeRO."""

    rank: int = 0
    size: int = 1
    nodes: int = 1
    strategy: str = "none"
    store: Optional[Any] = None  # torch.distributed.Store
    stage: int = 0  # 1, 2 or 3 with DeepSpeed


_world = World()
_turns = 0  # how often the ranks have waited for the main one: the same number in each of them


def enter(world: World) -> None:
    """From now on this process is one rank of `world`."""
    global _world
    _world = world


def here() -> World:
    """The world of this process."""
    return _world


def rank() -> int:
    """The number of this process, from 0."""
    return _world.rank


def size() -> int:
    """How many processes train together."""
    return _world.size


def is_main() -> bool:
    """True in the one process that prints and writes the run's files: rank 0."""
    return _world.rank == 0


def sharded() -> bool:
    """True where the base is cut into shards (FSDP, ZeRO-3), so that no rank holds a whole model."""
    return _world.strategy == "fsdp" or _world.stage == 3


def splits_optimizer() -> bool:
    """True where each rank holds its own part of the optimizer's state (FSDP, ZeRO), and the engine exchanges gradients
    within the backward pass, in which ranks wait for each other."""
    return _world.strategy in ("fsdp", "deepspeed")


def own_folder(folder: Path) -> Path:
    """`folder` for rank 0, which alone writes the run's files; a passing one for each other rank."""
    if is_main():
        return folder
    own = Path(os.environ[FOLDER]).parent / f"rank-{rank()}"
    own.mkdir(exist_ok=True)
    return own


def check_accumulation(batch_size: int, accumulation: int) -> None:
    """Raises ConfigError where the micro-batches of one update cannot be dealt out evenly."""
    if accumulation % _world.size == 0:
        return
    rows = batch_size * accumulation
    raise ConfigError(
        f"`train.accumulation` is {accumulation}, and {_world.size} processes cannot share that many micro-batches "
        "evenly: an update is the same rows however many processes share them.",
        f"Make `train.accumulation` a multiple of {_world.size}"
        + (
            f"; `train.batch_size={rows // _world.size} train.accumulation={_world.size}` is the same update."
            if rows % _world.size == 0
            else "."
        ),
    )


def share(batches: Sequence[Dict[str, Any]], masked: int) -> List[Dict[str, Any]]:
    """This rank's part of an update's micro-batches: the first ones for rank 0, the next ones for rank 1...

    Every rank gets equally many, since FSDP's ranks must call the model together: where rows run out, at the end
    of an epoch, a micro-batch whose every label is `masked` stands in, which adds nothing to loss or gradient.
    """
    if _world.size == 1:
        return list(batches)
    count = -(-len(batches) // _world.size)
    mine = list(batches[_world.rank * count : (_world.rank + 1) * count])
    while len(mine) < count:
        blank = dict(batches[0])
        blank["labels"] = blank["labels"].clone().fill_(masked)
        mine.append(blank)
    return mine


def add_up(*numbers: float) -> List[float]:
    """Each number summed over all ranks, in fp64."""
    if _world.size == 1:
        return list(numbers)
    return _reduced(numbers, "SUM")


def any_rank(flag: bool) -> bool:
    """True where it is true in at least one rank: a signal, a full GPU, a loss that is no number."""
    return flag if _world.size == 1 else bool(_reduced([float(flag)], "MAX")[0])


def most(number: int) -> int:
    """The largest over all ranks."""
    return number if _world.size == 1 else int(_reduced([float(number)], "MAX")[0])


def _reduced(numbers: Sequence[float], how: str) -> List[float]:
    import torch
    import torch.distributed as dist

    tensor = torch.tensor(list(numbers), dtype=torch.float64)  # on the CPU: gloo, whatever the gradients use
    dist.all_reduce(tensor, op=getattr(dist.ReduceOp, how))
    return list(tensor.tolist())


@contextmanager
def main_first() -> Iterator[None]:
    """Rank 0 goes through the block alone; the others follow when it is done, and find what it left on the disk.

    Without a time limit: rank 0 may tokenise for hours. Where it fails, its failure ends the others (process.py).
    """
    global _turns
    _turns += 1
    key = f"main/{_turns}"
    if not is_main():
        _wait_for(key)
    yield
    if is_main() and _world.store is not None:
        _world.store.set(key, "null")


def from_main(value: Any) -> Any:
    """Rank 0's `value` (what JSON holds), in every rank."""
    global _turns
    _turns += 1
    key = f"main/{_turns}"
    if _world.store is None:
        return value
    if is_main():
        _world.store.set(key, json.dumps(value))
        return value
    _wait_for(key)
    return json.loads(_world.store.get(key).decode())


def _wait_for(key: str) -> None:
    assert _world.store is not None
    while not _world.store.check([key]):
        time.sleep(POLL_SECONDS)
