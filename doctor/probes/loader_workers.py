"""Do DataLoader workers hand over their batches through /dev/shm? Small batches as of text, then large ones.

A worker that finds no room there is killed by a bus error, which torch turns into a RuntimeError of the loader; newer
releases print an error in the worker instead and then wait for ever (torch 2.13, seen 2026-11-24).
"""

# mypy: disable-error-code="import-not-found"

import os
import sys
import time
from pathlib import Path
from typing import Any, Dict

from _probe import FOLDER, at, finish, one_line, require, versions

require("torch")
at("importing torch")
import torch  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

MIB = 1 << 20
WORKERS, PREFETCH, BATCHES = 2, 2, 8
SIZES = {
    "small": MIB // 4,
    "large": 16 * MIB,
}  # bytes a batch; up to WORKERS * PREFETCH of them wait in /dev/shm
SECONDS_TO_WAIT = 20


class Numbers(Dataset):  # type: ignore[misc,type-arg,unused-ignore]
    """Tensors of that many bytes, each filled with its index."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((self.size // 4,), index, dtype=torch.int32)


def loaded(size: int) -> Dict[str, Any]:
    """Read every batch, slowly enough that the workers run ahead; what came, and what did not with its reason."""
    log = Path(FOLDER, f"workers-{size}.log")
    sys.stderr.flush()
    kept = os.dup(2)
    with log.open("wb") as file:  # what the workers say when they end
        os.dup2(file.fileno(), 2)
    try:
        seen = read_all(size)
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    said = [line for line in lines if "rror" in line and not line.startswith(" ")]
    if "error" in seen and said:
        seen["worker"] = " ".join(said[0].split())[:200]
    return seen


def read_all(size: int) -> Dict[str, Any]:
    """How many batches came as they were sent, within how many seconds."""
    began = time.monotonic()
    loader = DataLoader(
        Numbers(size),
        batch_size=None,
        num_workers=WORKERS,
        prefetch_factor=PREFETCH,
        timeout=SECONDS_TO_WAIT,
        multiprocessing_context="fork",
    )
    right = 0
    try:
        for index, batch in enumerate(loader):
            time.sleep(0.02)
            right += int(bool((batch == index).all()))
    except Exception as error:
        return {"bytes": size, "batches": right, "error": one_line(error)}
    return {"bytes": size, "batches": right, "seconds": round(time.monotonic() - began, 2)}


def shared_memory() -> Dict[str, int]:
    """The size and the free room of /dev/shm in bytes; {} where it is not there."""
    try:
        told = os.statvfs("/dev/shm")
    except OSError:
        return {}
    return {"total_bytes": told.f_blocks * told.f_frsize, "free_bytes": told.f_bavail * told.f_frsize}


room = shared_memory()
result: Dict[str, Any] = {"versions": versions("torch"), "workers": WORKERS, "expected": BATCHES, "shm": room}
result["strategy"] = torch.multiprocessing.get_sharing_strategy()
result["loads"] = {}
for name, size in SIZES.items():
    at(f"loading {name} batches with {WORKERS} workers")
    result["loads"][name] = loaded(size)
finish(result)
