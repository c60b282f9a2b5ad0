"""Checkpoints: adapter, optimizer, schedule, scaler, random states and the Trainer's state; never base weights.

    checkpoint-200/
    ├── adapter_config.json, adapter_model.safetensors    as peft saves them; loads as an adapter by itself
    ├── optimizer.safetensors, random.safetensors         tensors
    ├── rank-1.safetensors, rank-1.json, ...              what is each other process's own (parallel/own_files.py)
    ├── state.json                                        everything else that is a number or a word
    ├── trainer_state.json                                transformers' own: steps, epochs, evaluations
    └── complete.json                                     written last: the run's values, and each file's hash

Nothing is pickled. A checkpoint is written under another name, flushed to the disk, read back and then renamed, so
that a crash at any instant leaves the previous one whole.
"""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from envdoc.train import optimizer_state, random_state, reread, starts
from envdoc.train.config import Run, flat
from envdoc.train.errors import Diverged, ResumeError, SaveError
from envdoc.train.fingerprint import file_sha256
from envdoc.train.history import History
from envdoc.train.parallel import own_files

PREFIX = "checkpoint-"
PARTIAL = ".partial-"
COMPLETE = "complete.json"
ADAPTER_FILE = "adapter_model.safetensors"
OPTIMIZER_FILE = "optimizer.safetensors"


def check_finite(model: Any) -> None:
    """Raises Diverged before a weight that is no number reaches the disk."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not bool(torch.isfinite(parameter).all()):
            raise Diverged(
                f"The weight {name} is no longer finite, so nothing was saved over the last checkpoint.",
                "Lower `train.learning_rate`; with fp16 try `model.dtype=bf16` or fp32.",
            )


def save_adapter(model: Any, folder: Path) -> None:
    """The adapter as peft writes it, without its empty model card."""
    if starts.is_split(model):
        starts.save(model, folder)
        return
    model.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)


def write_adapter(model: Any, partial: Path, final: Path) -> None:
    """Save the adapter as `final`, whole or not at all. Raises OSError, SafetensorError; leaves no `partial`."""
    try:
        shutil.rmtree(partial, ignore_errors=True)
        save_adapter(model, partial)
        for path in partial.iterdir():
            flush(path)
        replace_folder(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@dataclass(frozen=True)
class Moment:
    """Everything of a run that a checkpoint holds, as it is between two updates."""

    step: int
    model: Any
    adapter: Mapping[str, torch.Tensor]  # the trained weights under the names that the file must have
    optimizer: Any
    scheduler: Any
    scaler: Optional[Any]
    trainer_state: Any
    history: History
    halvings: int  # of the micro-batch, for want of memory
    identity: Mapping[str, Any]


def write(run_folder: Path, moment: Moment, keep: int, spared: Optional[int] = None) -> Path:
    """Write checkpoint-STEP, read it back, and only then drop all but the newest `keep` and that of step `spared`.

    Raises SaveError where the disk refused or does not give back what it took; what was there stays whole.
    """
    final = run_folder / f"{PREFIX}{moment.step}"
    partial = run_folder / f"{PARTIAL}{PREFIX}{moment.step}"
    check_finite(moment.model)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_adapter(moment.model, partial)
        tensors, values = optimizer_state.split(moment.optimizer.state_dict())
        save_file(tensors, str(partial / OPTIMIZER_FILE))
        save_file(random_tensors(), str(partial / "random.safetensors"))
        state = {
            "optimizer": values,
            "scheduler": moment.scheduler.state_dict(),
            "scaler": moment.scaler.state_dict() if moment.scaler is not None else None,
            "random": random_values(),
            "history": moment.history.mark(),
            "halvings": moment.halvings,
        }
        (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
        moment.trainer_state.save_to_json(str(partial / "trainer_state.json"))
        own_files.collect(partial)
        for path in partial.iterdir():
            flush(path)
        reread.check_file(partial / ADAPTER_FILE, moment.adapter)
        reread.check_file(partial / OPTIMIZER_FILE, tensors)
        files = {path.name: file_sha256(path) for path in sorted(partial.iterdir())}
        complete = {"step": moment.step, "run": dict(moment.identity), "files": files}
        (partial / COMPLETE).write_text(json.dumps(complete, indent=1), encoding="utf-8")
        flush(partial / COMPLETE)
        replace_folder(partial, final)
    except (OSError, SafetensorError, reread.Unfaithful) as error:
        shutil.rmtree(partial, ignore_errors=True)
        kept, unfaithful = newest(run_folder), isinstance(error, reread.Unfaithful)
        raise SaveError(
            f"Checkpoint {moment.step} could not be written to `{run_folder}`: {reason(error)}.",
            ("The disk is faulty, or a library changes what peft saves" if unfaithful else "Make room")
            + (
                f"; --resume goes on from {kept.name}, which is whole."
                if kept
                else "; no checkpoint was there yet."
            ),
        ) from None
    for old in _checkpoints(run_folder)[keep:]:
        if step_of(old) == spared:
            continue
        shutil.rmtree(old, ignore_errors=True)
    return final


def newest(run_folder: Path) -> Optional[Path]:
    """The newest checkpoint of which every file is there with the bytes that were written, or None."""
    return next((path for path in _checkpoints(run_folder) if is_whole(path)), None)


def is_whole(checkpoint: Path) -> bool:
    """True where every file has the hash that was written down last."""
    try:
        files = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["files"]
        return all(file_sha256(checkpoint / name) == sha256 for name, sha256 in files.items())
    except (OSError, ValueError, KeyError, AttributeError):
        return False


def step_of(checkpoint: Path) -> int:
    """The number of updates that made a checkpoint."""
    return int(checkpoint.name[len(PREFIX) :])


def check_identity(checkpoint: Path, identity: Mapping[str, Any]) -> None:
    """Raises ResumeError, saying what differs, where another run made the checkpoint."""
    # A key that came after the checkpoint was written had its default in effect then.
    defaults = {**flat(Run()), "world_size": 1, "data.packing": False}
    before = {**defaults, **json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["run"]}
    differing = [
        f"{key} was {before.get(key)} and is {identity.get(key)}"
        for key in sorted(identity)
        if before.get(key) != identity.get(key)
    ]
    if differing:
        raise ResumeError(
            f"`{checkpoint}` belongs to another run: {'; '.join(differing)}.",
            "Put that back, or start anew with `overwrite=true` or another `name`.",
        )


def load_adapter(checkpoint: Path, model: Any) -> None:
    """Lay the checkpoint's adapter into the model. Raises ResumeError where a tensor has no place in it."""
    from peft import set_peft_model_state_dict

    tensors = load_file(str(checkpoint / ADAPTER_FILE))
    if starts.is_split(model):
        unknown = starts.load(model, tensors)
    else:
        unknown = set_peft_model_state_dict(model, tensors).unexpected_keys
    if unknown:
        raise ResumeError(f"The adapter in `{checkpoint}` has tensors that this model lacks: {unknown[:2]}.")


def load_state(checkpoint: Path, optimizer: Any, scheduler: Any, scaler: Optional[Any]) -> None:
    """Put optimizer, schedule and scaler back as they were."""
    state = _state(checkpoint)
    optimizer.load_state_dict(
        optimizer_state.joined(load_file(str(checkpoint / OPTIMIZER_FILE)), state["optimizer"])
    )
    scheduler.load_state_dict(state["scheduler"])
    if scaler is not None and state["scaler"]:
        scaler.load_state_dict(state["scaler"])


def history_mark(checkpoint: Path) -> Optional[Dict[str, Any]]:
    """How far `steps.jsonl` reached at that time; None in a checkpoint from before that file was kept."""
    return _state(checkpoint).get("history")


def halvings(checkpoint: Path) -> int:
    """How often the micro-batch had been halved by then."""
    return int(_state(checkpoint).get("halvings", 0))


def load_random(checkpoint: Path) -> None:
    """Put the generators of Python, numpy and torch back as they were."""
    put_random(_state(checkpoint)["random"], load_file(str(checkpoint / "random.safetensors")))


def put_random(values: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> None:
    """Set the generators to what `random_values` and `random_tensors` told."""
    version, words, gauss = values["python"]
    name, position, has_gauss, cached = values["numpy"]
    random_state.put(
        random_state.RandomState(
            python=(version, tuple(words), gauss),
            numpy=(name, tensors["numpy"].numpy().astype("uint32"), position, has_gauss, cached),
            torch=tensors["torch"],
            cuda=tensors.get("cuda"),
        )
    )


def replace_folder(partial: Path, final: Path) -> None:
    """Put `partial` in the place of `final` by renaming; what was at `final` is removed last."""
    old = final.with_name(f"{PARTIAL}old-{final.name}")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    partial.rename(final)
    flush(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def flush(path: Path) -> None:
    """Wait until the file or folder is on the disk: after a rename alone a power cut may leave it empty."""
    descriptor = os.open(str(path), os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def reason(error: BaseException) -> str:
    """Why a write failed, without the library's wrapping."""
    told = getattr(error, "strerror", None) or str(error)  # safetensors: "... I/O error: WHY (os error 28)"
    return told.split("I/O error: ")[-1].split(" (os error")[0].rstrip(".")


def _checkpoints(run_folder: Path) -> List[Path]:
    """Newest first, by step and not by time: copied folders all have the same time."""
    found = [
        path for path in run_folder.glob(f"{PREFIX}*") if path.is_dir() and path.name[len(PREFIX) :].isdigit()
    ]
    return sorted(found, key=step_of, reverse=True)


def random_tensors() -> Dict[str, torch.Tensor]:
    """The states of the generators, as far as they are tensors."""
    now = random_state.take()
    tensors = {"torch": now.torch, "numpy": torch.from_numpy(now.numpy[1].astype("int64"))}
    return tensors if now.cuda is None else {**tensors, "cuda": now.cuda}


def random_values() -> Dict[str, Any]:
    """The rest of the generators' states, as JSON holds it."""
    now = random_state.take()
    version, words, gauss = now.python
    name, _, *rest = now.numpy
    return {"python": [version, list(words), gauss], "numpy": [name, *rest]}


def _state(checkpoint: Path) -> Dict[str, Any]:
    state: Dict[str, Any] = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    return state
