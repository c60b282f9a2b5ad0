"""The last proof of a run: another process, which has nothing of this one, loads base and adapter from the disk.

What is in memory here has been proved in this process already; but people have published adapters that worked only
where they were trained: a base altered in memory, weights that no file held (peft #286, alpaca-lora #293), a cache.
The child is `envdoc verify` itself, so that everybody can do the same again.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

NAME = "fresh process"
LIMIT_SECONDS = 3600  # the base has just been read once, so this only ends a child that hangs
LAUNCH = Path(__file__).parent / "launch.py"
# Set in a process that trains together with others; the child is alone.
OF_A_RANK = ("ENVDOC_RANKS", "RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


def free_memory() -> Optional[int]:
    """Give what the model held back to the system, so that the child finds a GPU with room.

    The caller must have let go of the model; Trainer and its callbacks hold each other in cycles. Returns the bytes
    of the GPU that this process holds all the same; None on a CPU.
    """
    import gc

    import torch

    gc.collect()
    if not torch.cuda.is_available():
        return None
    torch.cuda.empty_cache()
    return int(torch.cuda.memory_allocated())


def prove_fresh(adapter: Path, limit_seconds: float = LIMIT_SECONDS) -> Dict[str, Any]:
    """One check, as `Check.to_json` has it: `ok` is None where the child could not try, which `detail` explains."""
    started = time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name not in OF_A_RANK}
    command = [sys.executable, str(LAUNCH), "verify", str(adapter), "--format", "json"]
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        ok, detail = None, f"not tried to the end: after {limit_seconds:.0f} s it had not answered"
    except OSError as error:
        ok, detail = None, f"not tried: `{sys.executable}` could not be started: {error.strerror}"
    else:
        error_text = done.stderr.decode("utf-8", "replace")
        ok, detail = _verdict(done.returncode, done.stdout.decode("utf-8", "replace"), error_text)
    seconds = time.monotonic() - started
    return {"name": NAME, "ok": ok, "detail": f"{detail} ({seconds:.1f} s)"}


def _verdict(status: int, output: str, error_text: str) -> Tuple[Optional[bool], str]:
    if status in (0, 1):
        checks = {check["name"]: check for check in json.loads(output)["checks"]}
        failed = [check for check in checks.values() if check["ok"] is False]
        if failed:
            return False, "; ".join(f"{check['name']}: {check['detail']}" for check in failed)
        trained, effect = checks["trained model"], checks["output"]
        return trained["ok"], f"on a fresh base {trained['detail']}; {effect['detail']}"
    if status < 0:
        return None, f"not tried to the end: signal {-status} ended it, which is 9 where memory ran out"
    told = [line[len("error: ") :] for line in error_text.splitlines() if line.startswith("error: ")]
    said = told[-1] if told else f"exit code {status}"
    if "memory" in said:  # every sentence of ours about too little of it holds that word
        return None, f"not tried: {said}"
    return False, f"the adapter cannot be loaded: {said}"
