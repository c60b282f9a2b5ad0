"""The run's folder: what may lie there before a run starts, and what makes a resumed run the same run."""

import fcntl
import os
import shutil
from pathlib import Path
from typing import Any, Dict, List, Optional

from envdoc.train.config import Run, flat
from envdoc.train.errors import ConfigError, ResumeError, SaveError
from envdoc.train.parallel import world
from envdoc.train.ready import Asked

# What may differ between a run and its resumption: where things lie, and how often something is said or saved.
FREE_TO_CHANGE = {
    "name",
    "output",
    "overwrite",
    "proof",
    "model.path",
    "model.trust_remote_code",
    "model.revision",
    "model.dtype",  # what `auto` became is compared instead
    "data.path",
    "train.save_every",
    "train.keep",
    "train.log_every",
    "train.workers",
    "train.stop_when_diverging",
    "train.fused",  # the same numbers but for rounding
    "data.eval_path",  # the hash of its rows is compared
    "data.eval_split",
    "eval.samples",
    "eval.sample_tokens",
    "report.to",
    "parallel.join_seconds",
    "parallel.allow_mixed",
    "parallel.deepspeed",  # what it holds is compared
}

# What a run leaves beside its checkpoints and its adapter.
OURS = ("events.jsonl", "steps.jsonl", "run.yaml", "environment.json", "loss.png", "loss.svg", "report.html")


def check_place(asked: Asked) -> None:
    """Raises ConfigError before a run that is there could be lost."""
    folder, settings = asked.folder, asked.settings
    if asked.resume and settings.overwrite:
        raise ConfigError("`overwrite=true` throws away what --resume would go on from.", "Leave one out.")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"`{folder}` is a file; a run needs a folder.")
    if asked.dry_run or asked.resume or settings.overwrite or not folder.is_dir():
        return
    finished = (folder / "adapter").exists()
    if finished or any(folder.glob("checkpoint-*")):
        raise ConfigError(
            f"`{settings.folder}` holds {'a finished' if finished else 'an unfinished'} run already.",
            "Take another `name=...`, or replace it with `overwrite=true`."
            if finished
            else "Take another `name=...`, replace it with `overwrite=true`, or go on with --resume.",
        )


def make_folder(folder: Path) -> None:
    """Raises SaveError where the folder cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaveError(f"The run's folder `{folder}` cannot be made: {error.strerror}.") from None


_held: List[int] = []  # the folder of this process's run, open and locked


def hold(folder: Path) -> None:
    """Keep every other process from training in the folder until this one ends, however it ends.

    Two runs in one folder take away each other's checkpoints. The folder itself is locked, so that nothing is left
    behind; a file system that cannot (NFS wants a file open for writing) is trained in all the same. Raises ConfigError
    where another process is there.
    """
    while _held:  # of an earlier run of this process
        os.close(_held.pop())
    _held.append(os.open(str(folder), os.O_RDONLY))
    try:
        fcntl.flock(_held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ConfigError(
            f"Another process trains in `{folder}`.",
            "Take another `name=...`, or stop that one first: Ctrl-C or `kill` lets it write a checkpoint.",
        ) from None
    except OSError:
        pass


def identity_of(settings: Run, corpus: Any, fingerprint: str, precision: Any) -> Dict[str, Any]:
    """What must be equal for a resumed run to be the same run."""
    values = {key: value for key, value in flat(settings).items() if key not in FREE_TO_CHANGE}
    # `auto` and false are one run: the same rows an update, laid in another way, as with a halved micro-batch.
    values["data.packing"] = settings.data.packing is True
    values["the data's hash"] = corpus.sha256
    values["the hash of the encoded rows"] = corpus.encoded_sha256
    values["the base model's fingerprint"] = fingerprint
    values["the dtype"] = precision.dtype
    values["the kind of device"] = precision.device.type
    values["world_size"] = world.size()
    if settings.parallel.deepspeed:
        from envdoc.train.parallel import deepspeed_file

        values.update(deepspeed_file.identity(deepspeed_file.read(settings)))
    return values


def checkpoint_to_resume(folder: Path, identity: Dict[str, Any]) -> Path:
    """The newest whole checkpoint. Raises ResumeError where there is none, or another run made it."""
    from envdoc.train import checkpoint

    found = checkpoint.newest(folder)
    if found is None:
        raise ResumeError(
            f"`{folder}` holds no whole checkpoint to go on from.", "Start the run without --resume."
        )
    checkpoint.check_identity(found, identity)
    print(f"Resume    {found.name}, whole and of this very run.", flush=True)
    return found


def clear(folder: Path, resume: bool) -> None:
    """Remove what an earlier run of this folder left, and nothing that is not ours."""
    from envdoc.train.checkpoint import PARTIAL, PREFIX

    for path in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(path, ignore_errors=True)
    if resume:
        return
    for path in [*folder.glob(f"{PREFIX}*"), folder / "adapter", folder / "last-good"]:
        shutil.rmtree(path, ignore_errors=True)
    for name in OURS:
        (folder / name).unlink(missing_ok=True)


def shown(path: Path, start: Optional[Path] = None) -> str:
    """The path as short as it can be said from here."""
    try:
        return str(path.relative_to(start or Path.cwd()))
    except ValueError:
        return str(path)
