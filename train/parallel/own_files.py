"""What a checkpoint holds of the ranks other than 0: their random states, and with FSDP and ZeRO their part of the
optimizer.

Each rank writes its own two files into the checkpoint while rank 0 holds it open under its provisional name; their
hashes stand in complete.json like those of all others. So the run's folder must be one that every node sees.
"""

import json
import time
from pathlib import Path
from typing import Any

from envdoc.train.errors import ConfigError, SaveError
from envdoc.train.parallel import world

SEEN_SECONDS = 20.0  # a network file system may show a new file late


def stem() -> str:
    """The beginning of the names of this rank's own files."""
    return f"rank-{world.rank()}"


def collect(partial: Path) -> None:
    """Rank 0: let the others write into `partial`, and wait until all have."""
    if world.size() > 1:
        world.from_main(partial.name)
        world.add_up(0.0)


def contribute(run_folder: Path, optimizer: Any) -> None:
    """Another rank: write into the checkpoint that rank 0 has opened. Raises SaveError."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from envdoc.train import checkpoint, optimizer_state

    partial = run_folder / world.from_main(None)
    tensors = {f"random.{name}": tensor for name, tensor in checkpoint.random_tensors().items()}
    values = {"random": checkpoint.random_values()}
    if world.splits_optimizer():
        held, values["optimizer"] = optimizer_state.split(optimizer.state_dict())
        tensors.update({f"optimizer.{name}": tensor for name, tensor in held.items()})
    try:
        save_file(tensors, str(partial / f"{stem()}.safetensors"))
        (partial / f"{stem()}.json").write_text(json.dumps(values), encoding="utf-8")
        for ending in ("safetensors", "json"):
            checkpoint.flush(partial / f"{stem()}.{ending}")
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"{partial.name} could not be written to `{run_folder}`: {checkpoint.reason(error)}.",
            "Make room, then go on with --resume.",
        ) from None
    world.add_up(0.0)
    done()


def done() -> None:
    """Every rank, when rank 0 has put the checkpoint in its place: from here on all of them see it there."""
    world.add_up(0.0)


def load_random(folder: Path) -> None:
    """Put this rank's generators back as they were."""
    from envdoc.train import checkpoint

    if world.is_main():
        checkpoint.load_random(folder)
    else:
        checkpoint.put_random(_values(folder)["random"], _tensors(folder, "random."))


def load_optimizer(folder: Path, optimizer: Any) -> None:
    """Put this rank's shard of the optimizer back; where ranks hold whole models, rank 0's is everybody's."""
    from envdoc.train import optimizer_state

    if world.splits_optimizer() and not world.is_main():
        held = _tensors(folder, "optimizer.")
        optimizer.load_state_dict(optimizer_state.joined(held, _values(folder)["optimizer"]))


def check_shared(run_folder: Path) -> None:
    """Raises ConfigError where this rank does not see the run's folder that rank 0 has made."""
    if world.size() == 1:
        return
    token = run_folder / f".partial-shared-by-{world.size()}"
    if world.is_main():
        token.mkdir(exist_ok=True)
    world.from_main(None)
    deadline = time.monotonic() + SEEN_SECONDS
    while not token.is_dir():
        if time.monotonic() > deadline:
            raise ConfigError(
                f"The run's folder `{run_folder}`, which rank 0 has made, is not here.",
                "Several nodes need a folder that all of them see: name one with `output=FOLDER`.",
            )
        time.sleep(0.1)
    world.add_up(0.0)  # rank 0 clears the folder of such names


def _values(folder: Path) -> Any:
    return json.loads((folder / f"{stem()}.json").read_text(encoding="utf-8"))


def _tensors(folder: Path, kind: str) -> Any:
    from safetensors.torch import load_file

    found = load_file(str(folder / f"{stem()}.safetensors"))
    return {name[len(kind) :]: tensor for name, tensor in found.items() if name.startswith(kind)}
