"""What the trained model answered to one row, kept in the receipt: little enough for that, enough to know it again.

Of the logits (length, vocabulary) in fp32 it holds the hash of every bit, and at a few positions those that are
largest and those that the adapter moved most. Where the same libraries compute on the same kind of device, all of
them come out again; elsewhere kernels round otherwise, and what is asked is whether the answers lie with the trained
model's or with the base's.
"""

import hashlib
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch

from envdoc.train import compat

POSITIONS, EACH = 8, 8  # about 100 numbers, 3 KB of JSON
SAME_PLACE = 0.01  # of the adapter's own effect; 0 wherever kernels are deterministic
ELSEWHERE = 0.5  # nearer to the trained model than to the base by half
LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")


def take(trained: torch.Tensor, plain: torch.Tensor) -> Dict[str, Any]:
    """What is kept of the logits (length, vocabulary) of the trained model, given those of its base."""
    last = trained.shape[0] - 1
    moved = (trained - plain).abs()
    rows = []
    for position in sorted({round(last * part / (POSITIONS - 1)) for part in range(POSITIONS)}):
        count = min(EACH, trained.shape[1])
        ids = sorted(
            {*trained[position].topk(count).indices.tolist(), *moved[position].topk(count).indices.tolist()}
        )
        rows.append({"position": position, "ids": ids, "logits": trained[position, ids].tolist()})
    return {
        "shape": list(trained.shape),
        "sha256": bits_sha256(trained),
        "effect": float(moved.max()),
        "threads": torch.get_num_threads(),
        "rows": rows,
    }


def place(device: torch.device, dtype: str, quantization: str) -> Dict[str, Any]:
    """What decides whether logits can be compared bit by bit: device, dtype, libraries."""
    return {
        "device": device.type,
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else None,
        "dtype": dtype,
        "quantization": quantization,
        **{name: compat.version_of(name) for name in LIBRARIES},
        "torch": torch.__version__,  # metadata lacks +cpu or +cu130
    }


def compare(
    told: Mapping[str, Any], here: Mapping[str, Any], adapted: torch.Tensor, plain: torch.Tensor
) -> Tuple[Optional[bool], str]:
    """Whether the logits (length, vocabulary) are the trained model's, and what was seen.

    None where they were computed otherwise than then, and the adapter does too little for a verdict.
    """
    if list(adapted.shape) != list(told["shape"]):
        return False, f"its logits are {list(adapted.shape)}, and the trained model's were {told['shape']}"
    if not bool(torch.isfinite(adapted).all()):
        return False, "its logits are not finite"
    size = " x ".join(map(str, adapted.shape))
    if bits_sha256(adapted) == told["sha256"]:
        return True, f"its {size} logits equal the trained model's bit for bit"
    apart, moved, largest = 0.0, 0.0, 0.0
    for row in told["rows"]:
        trained = torch.tensor(row["logits"], dtype=torch.float32)
        apart = max(apart, _distance(adapted[row["position"], row["ids"]], trained))
        moved = max(moved, _distance(plain[row["position"], row["ids"]], trained))
        largest = max(largest, float(trained.abs().max()))
    seen = f"its logits differ from the trained model's by up to {apart:.3g}, the base's by up to {moved:.4g}"
    other = differences(told.get("place") or {}, here)
    if apart > (ELSEWHERE if other else SAME_PLACE) * moved:
        if not other or apart > largest:
            return False, seen
        return None, f"{seen}: too near to each other for a verdict, since {_sentence(other)}"
    return True, seen + (f" ({_sentence(other)})" if other else "")


def differences(told: Mapping[str, Any], here: Mapping[str, Any]) -> List[str]:
    """What of the place is not as it was, in words."""
    names = [name for name in here if name != "bitsandbytes" or here["quantization"] != "none"]
    return [
        f"{name} was {told.get(name)} and is {here[name]}" for name in names if told.get(name) != here[name]
    ]


def bits_sha256(logits: torch.Tensor) -> str:
    """The hash of every bit of the logits."""
    numbers = logits.detach().float().cpu().contiguous().reshape(-1)
    return hashlib.sha256(numbers.view(torch.uint8).numpy().tobytes()).hexdigest()


def _distance(some: torch.Tensor, other: torch.Tensor) -> float:
    return float((some.detach().float().cpu() - other).abs().max())


def _sentence(parts: Sequence[str]) -> str:
    return "; ".join(parts[:3]) + ("; ..." if len(parts) > 3 else "")
