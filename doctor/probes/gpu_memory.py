"""Does each GPU's memory keep what is written to it? A few gigabytes, written and read back in five patterns.

For each pattern all of the memory is written before any is read, so that nothing comes from a cache. Values are
compared on the device; of a difference the place and the bits are kept. ECC counters of NVML before and after.

ENVDOC_PROBE_DEVICE=cpu runs the same on the CPU in small, and ENVDOC_PROBE_FLIP=1 turns one bit meanwhile: both are
for the tests.
"""

# mypy: disable-error-code="import-not-found"

import os
import time
from typing import Any, Dict, List

import _nvml
from _probe import at, attempt, finish, require, versions

require("torch")
at("importing torch")
import torch  # noqa: E402

PRETEND = os.environ.get("ENVDOC_PROBE_DEVICE") == "cpu"
FLIP = os.environ.get("ENVDOC_PROBE_FLIP") == "1"
MOST_BYTES = (64 << 20) if PRETEND else (4 << 30)
CHUNK_BYTES = (16 << 20) if PRETEND else (256 << 20)
SECONDS_A_GPU = 30.0  # the last patterns are left out where a slow GPU takes longer
WORDS = CHUNK_BYTES // 4
PATTERNS = ("address", "inverse address", "alternating bits", "inverse alternating bits", "random")
ALTERNATING = 0x55555555


def expected(pattern: str, chunk: int, device: str) -> torch.Tensor:
    """What that chunk holds in that pattern, int32; the same on every call."""
    if pattern == "random":
        generator = torch.Generator(device=device).manual_seed(chunk)
        return torch.randint(
            -(2**31), 2**31 - 1, (WORDS,), generator=generator, device=device, dtype=torch.int32
        )
    if pattern.endswith("address"):
        first = chunk * WORDS  # 4 GiB are 2**30 words, which int32 holds
        values = torch.arange(first, first + WORDS, device=device, dtype=torch.int32)
    else:
        values = torch.full((WORDS,), ALTERNATING, device=device, dtype=torch.int32)
    return values.bitwise_not_() if pattern.startswith("inverse") else values


def differences(chunks: List[torch.Tensor], pattern: str, device: str) -> Dict[str, Any]:
    """How many words of `chunks` are not what `pattern` wrote, and the first of them."""
    count, first = 0, None
    for number, chunk in enumerate(chunks):
        wrong = chunk != expected(pattern, number, device)
        found = int(wrong.sum())
        count += found
        if found and first is None:
            offset = int(wrong.nonzero()[0])
            bits = int(chunk[offset]) ^ int(expected(pattern, number, device)[offset])
            first = {"word": number * WORDS + offset, "bits": f"{bits & 0xFFFFFFFF:08x}"}
    return {"wrong_words": count, "first": first}


def examine(device: str, free: int) -> Dict[str, Any]:
    """Every pattern over as much memory as may be taken."""
    count = min(MOST_BYTES, free // 2) // CHUNK_BYTES
    if count == 0:
        return {"skipped": f"only {free >> 20} MiB of the GPU's memory is free"}
    chunks = [torch.empty(WORDS, dtype=torch.int32, device=device) for _ in range(count)]
    seen: Dict[str, Any] = {}
    began = time.monotonic()
    for pattern in PATTERNS:
        if time.monotonic() - began > SECONDS_A_GPU:
            break
        at(f"writing {pattern} on {device}")
        for number, chunk in enumerate(chunks):
            chunk.copy_(expected(pattern, number, device))
        if FLIP:
            chunks[-1][7] ^= 1 << 20
        at(f"reading {pattern} on {device}")
        seen[pattern] = differences(chunks, pattern, device)
    return {"bytes": count * CHUNK_BYTES, "patterns": seen}


def describe(index: int, nvml: Any) -> Dict[str, Any]:
    """One GPU's memory."""
    if PRETEND:
        return {"index": index, "name": "CPU", **attempt(examine, "cpu", 1 << 30)}
    at(f"initialising GPU {index}")
    torch.cuda.set_device(index)
    free, _ = torch.cuda.mem_get_info(index)
    where = _nvml.address(index)
    counters = ("ecc_corrected", "ecc_uncorrected")
    before = _nvml.look(nvml, where)
    seen = attempt(examine, f"cuda:{index}", free)
    after = _nvml.look(nvml, where)
    torch.cuda.empty_cache()
    return {
        "index": index,
        "name": torch.cuda.get_device_name(index),
        "ecc_before": {key: before[key] for key in counters if key in before},
        "ecc_after": {key: after[key] for key in counters if key in after},
        **seen,
    }


if not PRETEND and not torch.cuda.is_available():
    finish({"skipped": "torch sees no GPU"})
library = _nvml.start()
finish(
    {
        "versions": versions("torch"),
        "gpus": [describe(index, library) for index in range(1 if PRETEND else torch.cuda.device_count())],
    }
)
