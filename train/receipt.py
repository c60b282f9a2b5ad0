"""The receipt beside an adapter: everything that is needed to say later what it is and how it came about."""

import datetime
import json
import platform
import re
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import torch

from envdoc.train import compat, fresh, witness
from envdoc.train.checkpoint import ADAPTER_FILE, flush
from envdoc.train.config import flat
from envdoc.train.fingerprint import file_sha256
from envdoc.train.model import Precision
from envdoc.train.outcome import Outcome
from envdoc.train.parallel import world
from envdoc.train.private import private
from envdoc.train.ready import Ready
from envdoc.train.told import RECEIPT
from envdoc.train.verify import Check, Proof

NAME = RECEIPT
SCHEMA_VERSION = 1
_NUMBERS = re.compile(r"\[[-\d\s.,e]*\]")  # a list of numbers alone: probe, losses, logits


def environment() -> Dict[str, Any]:
    """What the run computed with, as the libraries themselves tell it."""
    gpu = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libraries": {**compat.versions(), "torch": torch.__version__},  # metadata lacks +cpu or +cu130
        "torch_cuda": torch.version.cuda,
        "gpu": torch.cuda.get_device_name(0) if gpu else None,
        "gpu_capability": ".".join(map(str, torch.cuda.get_device_capability(0))) if gpu else None,
    }


def training(done: Outcome, precision: Precision) -> Dict[str, Any]:
    """What the run measured. `tokens_per_second_useful` counts no padding, `_total` counts it."""
    return {
        "steps": done.steps,
        "losses": [list(pair) for pair in done.losses],
        "first_loss": done.losses[0][1] if done.losses else None,
        "last_loss": done.losses[-1][1] if done.losses else None,
        "seconds": done.seconds,
        "data_wait_seconds": done.data_wait_seconds,
        "data_wait_share": done.data_wait_seconds / done.seconds if done.seconds else None,
        "tokens": done.tokens,
        "padded_tokens": done.padded_tokens,
        "answer_tokens": done.answer_tokens,
        "tokens_per_second_useful": done.tokens / done.seconds if done.seconds else None,
        "tokens_per_second_total": done.padded_tokens / done.seconds if done.seconds else None,
        "peak_bytes": done.peak_bytes,
        "peak_bytes_of": done.peak_bytes_of,
        "resumed_from": done.resumed_from,
        "micro_batch": done.micro_batch,
        "threads": done.threads,
        "held_out_losses": [list(pair) for pair in done.judgements],
        "adapter_step": done.adapter_step,
        "device": str(precision.device),
        "processes": world.size(),
        "nodes": world.here().nodes,
        "dtype": precision.dtype,
    }


def make(
    ready: Ready,
    done: Outcome,
    adapter_sha256: str,
    probe: Sequence[int],
    answers: Optional[Mapping[str, Any]],
    proof: Proof,
) -> Dict[str, Any]:
    """The receipt of an adapter that was just saved and judged; `answers` to the probe are those of witness.take."""
    context, corpus = ready.asked.context, ready.corpus
    file = ready.adapter_folder / ADAPTER_FILE
    return {
        "schema_version": SCHEMA_VERSION,
        "made_at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "envdoc_version": context.get("envdoc_version"),
        "run": flat(ready.settings),
        "run_source": ready.asked.source,
        "environment": environment(),
        "lockfile": context.get("lockfile"),
        "doctor": context.get("facts"),
        "data": {
            "path": corpus.path,
            "sha256": corpus.sha256,
            "encoded_sha256": corpus.encoded_sha256,
            "template": corpus.template,
            "rows": len(corpus.rows),
            "tokens": corpus.tokens,
            "answer_tokens": corpus.answer_tokens,
            "ends": list(corpus.ends),  # ids at which whatever generates with the adapter has to stop
            "packs": len(ready.units) if ready.settings.data.packing is True else None,
            "notes": list(corpus.notes),
        },
        "held_out": {
            "path": ready.held_out.corpus.path,
            "encoded_sha256": ready.held_out.corpus.encoded_sha256,
            "rows": len(ready.held_out.corpus.rows),
            "repeated_rows": ready.held_out.repeated,
        }
        if ready.held_out
        else None,
        "base": {"path": str(ready.base_folder), "fingerprint": ready.fingerprint},
        "adapter": {
            "sha256": adapter_sha256,
            "file_sha256": file_sha256(file),
            "bytes": file.stat().st_size,
            "probe": list(probe),
            "witness": {**answers, "place": _place(ready)} if answers is not None else None,
        },
        "training": training(done, ready.precision),
        "proof": {"real": proof.real, "checks": proof.to_json()},
    }


def _place(ready: Ready) -> Dict[str, Any]:
    precision = ready.precision
    return witness.place(precision.device, precision.dtype, ready.settings.model.quantization)


def add_check(receipt: Dict[str, Any], check: Mapping[str, Any]) -> None:
    """One more check of the proof."""
    receipt["proof"]["checks"].append(dict(check))
    receipt["proof"]["real"] = receipt["proof"]["real"] and check["ok"] is not False


def write(receipt: Mapping[str, Any], folder: Path) -> Path:
    """Write the receipt into the adapter's folder, whole or not at all. Raises OSError."""
    path = folder / NAME
    partial = folder / f".{NAME}"
    text = json.dumps(private(dict(receipt)), indent=2, ensure_ascii=False)
    partial.write_text(_NUMBERS.sub(_on_one_line, text) + "\n", encoding="utf-8")
    flush(partial)
    partial.replace(path)
    return path


def lines(measured: Mapping[str, Any]) -> List[str]:
    """The measurements in words."""
    steps = f"{measured['steps']} step{'s' if measured['steps'] != 1 else ''}"
    return [
        f"{steps} in {measured['seconds']:.1f} s, {100 * (measured['data_wait_share'] or 0):.1f}% of "
        f"them waiting for data; loss {measured['first_loss']:.4f} -> {measured['last_loss']:.4f}.",
        f"{measured['tokens_per_second_useful']:,.0f} tokens/s without padding "
        f"({measured['tokens_per_second_total']:,.0f} with); peak memory "
        f"{measured['peak_bytes'] / 2**30:.2f} GiB ({measured['peak_bytes_of']}).",
    ]


def proof_lines(receipt: Mapping[str, Any]) -> List[str]:
    """A line for each check of the proof."""
    return [Check(**check).line() for check in receipt["proof"]["checks"]]


def verdict(receipt: Mapping[str, Any]) -> str:
    """What the proof of a real adapter comes to, in a sentence that says no more than was seen."""
    here = (
        "Proved: read back from disk, the adapter equals the weights in memory and changes the model's output"
    )
    tried = [check for check in receipt["proof"]["checks"] if check["name"] == fresh.NAME]
    if not tried:
        return f"{here}."
    if tried[0]["ok"] is None:
        return f"{here}; whether it does so in a fresh process is open, as told above."
    return f"{here}; a fresh process that loads base and adapter gets the trained model's output."


def _on_one_line(match: "re.Match[str]") -> str:
    return re.sub(r"\s+", " ", match.group()).replace("[ ", "[").replace(" ]", "]")
