"""Can all GPUs add up their tensors through NCCL, is the sum right, and how fast is it?

One process a GPU, as torchrun starts them. An attempt that fails or hangs is repeated without peer-to-peer copies,
without shared memory, and without both: the first that works names the remedy. Bandwidth is NCCL's bus bandwidth,
2 (n - 1) / n of the bytes over the time.

ENVDOC_PROBE_DEVICE=cpu runs the same with two processes and gloo in small, and ENVDOC_PROBE_HANG=NAME makes the
last process hang in every attempt that does not set the variable NAME: both are for the tests.
"""

# mypy: disable-error-code="import-not-found"

import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from _probe import FOLDER, STAGE, at, finish, require, versions

PRETEND = os.environ.get("ENVDOC_PROBE_DEVICE") == "cpu"
HANG = os.environ.get("ENVDOC_PROBE_HANG", "")
ATTEMPTS: Tuple[Tuple[str, ...], ...] = (
    (),
    ("NCCL_P2P_DISABLE",),
    ("NCCL_SHM_DISABLE",),
    ("NCCL_P2P_DISABLE", "NCCL_SHM_DISABLE"),
)
# with eight imports of torch at once
SECONDS_AN_ATTEMPT = 45.0 if PRETEND else 90.0
BYTES = (1 << 20) if PRETEND else (256 << 20)
REPEATS = 5


def member(rank: int, world: int, rendezvous: str) -> None:
    """One process: join, add, compare, measure; its result is on its last line."""
    at("importing torch")
    import torch
    import torch.distributed as distributed

    device = "cpu" if PRETEND else f"cuda:{rank}"
    if not PRETEND:
        torch.cuda.set_device(rank)
    at("joining the group")
    distributed.init_process_group(
        "gloo" if PRETEND else "nccl",
        init_method="file://" + rendezvous,
        rank=rank,
        world_size=world,
        timeout=datetime.timedelta(seconds=SECONDS_AN_ATTEMPT),
    )
    if HANG and rank == world - 1 and os.environ.get(HANG) != "1":
        time.sleep(600)
    at("adding")
    values = torch.arange(1000, dtype=torch.float32, device=device) * (rank + 1)
    distributed.all_reduce(values)
    total = world * (world + 1) // 2
    right = torch.arange(1000, dtype=torch.float32, device=device) * total
    wrong = int((values != right).sum())  # whole numbers below 2**24: exact in float32
    at("measuring")
    large = torch.zeros(BYTES // 4, dtype=torch.float32, device=device)
    times: List[float] = []
    for _ in range(REPEATS + 1):
        if not PRETEND:
            torch.cuda.synchronize()
        began = time.perf_counter()
        distributed.all_reduce(large)
        if not PRETEND:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    seconds = statistics.median(times[1:])
    large.fill_(rank + 1)
    distributed.all_reduce(large)
    wrong += int((large != total).sum())
    distributed.destroy_process_group()
    rate = 2 * (world - 1) / world * BYTES / seconds
    finish({"wrong_values": wrong, "bus_bytes_per_second": round(rate)})


def attempt(world: int, variables: Tuple[str, ...]) -> Dict[str, Any]:
    """Start the members with these variables set to 1, and wait for all of them or for the limit."""
    at("all-reduce with " + (" ".join(variables) or "NCCL's own choice"))
    rendezvous = str(Path(FOLDER, "rendezvous-" + "-".join(variables)))
    environ = {"NCCL_DEBUG": "WARN", **os.environ, **dict.fromkeys(variables, "1")}
    logs = [Path(FOLDER, f"{'-'.join(variables)}-{rank}.log") for rank in range(world)]
    members, began = [], time.monotonic()
    for rank in range(world):
        command = [sys.executable, str(Path(__file__).resolve()), str(rank), str(world), rendezvous]
        with logs[rank].open("wb") as log:
            members.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=environ))
    deadline, failed = began + SECONDS_AN_ATTEMPT, None
    while any(one.poll() is None for one in members) and time.monotonic() < deadline:
        time.sleep(0.05)
        if failed is None and any(one.returncode not in (None, 0) for one in members):
            failed = time.monotonic()
            deadline = min(deadline, failed + 5)  # the others would wait for it in vain
    hung = [rank for rank, one in enumerate(members) if one.poll() is None]
    outputs = []
    for one in members:
        if one.poll() is None:
            one.kill()
        outputs.append(one.communicate()[0].decode("utf-8", "replace"))
    result: Dict[str, Any] = {"variables": list(variables), "seconds": round(time.monotonic() - began, 1)}
    codes = [one.returncode for one in members]
    if hung and failed is None:
        result["error"] = f"not done after {SECONDS_AN_ATTEMPT:g} s{_stage(logs[hung[0]])}"
    elif any(codes):
        rank = next(rank for rank, code in enumerate(codes) if code and rank not in hung)
        result["error"] = _last_words(logs[rank]) or f"process {rank} ended with status {codes[rank]}"
    else:
        seen = [json.loads(output.strip().splitlines()[-1]) for output in outputs]
        result["wrong_values"] = sum(one["wrong_values"] for one in seen)
        result["bus_bytes_per_second"] = min(one["bus_bytes_per_second"] for one in seen)
    warnings = [line for log in logs for line in _lines(log) if "NCCL WARN" in line]
    result["warnings"] = [" ".join(line.split("NCCL WARN", 1)[1].split())[:200] for line in warnings[:3]]
    return result


def _lines(log: Path) -> List[str]:
    return log.read_text(encoding="utf-8", errors="replace").splitlines()


def _stage(log: Path) -> str:
    stages = [line[len(STAGE) :] for line in _lines(log) if line.startswith(STAGE)]
    return f" while {stages[-1]}" if stages else ""


def _last_words(log: Path) -> str:
    """The line of the exception that ended a member."""
    lines = [line for line in _lines(log) if "Error" in line and not line.startswith((" ", STAGE))]
    return " ".join(lines[-1].split())[:300] if lines else ""


def peers(world: int) -> Optional[bool]:
    """Whether every pair of GPUs says that it can copy directly; None on the CPU."""
    if PRETEND:
        return None
    import torch

    pairs = [(a, b) for a in range(world) for b in range(world) if a != b]
    return all(torch.cuda.can_device_access_peer(a, b) for a, b in pairs)


def main() -> None:
    """Attempt after attempt, until one works."""
    require("torch")
    at("importing torch")
    import torch
    import torch.distributed

    world = 2 if PRETEND else torch.cuda.device_count()
    if world < 2:
        finish({"skipped": "there are fewer than two GPUs" if world else "torch sees no GPU"})
    if not torch.distributed.is_available() or not (PRETEND or torch.distributed.is_nccl_available()):
        finish({"skipped": "this torch is built without NCCL"})
    attempts: List[Dict[str, Any]] = []
    for variables in ATTEMPTS:
        attempts.append(attempt(world, variables))
        if not attempts[-1].get("error") and not attempts[-1]["wrong_values"]:
            break
    finish(
        {
            "versions": versions("torch"),
            "backend": "gloo" if PRETEND else "nccl",
            "gpus": world,
            "bytes": BYTES,
            "attempts": attempts,
            "all_peers": peers(world),
        }
    )


if __name__ == "__main__":
    if len(sys.argv) == 4:
        member(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    main()
