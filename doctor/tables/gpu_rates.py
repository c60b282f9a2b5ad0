"""What each GPU model should have and reach: memory, multiprocessors, bandwidth, matrix rates (gpu_rates.toml)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Dict, List, Optional, Tuple

from envdoc.doctor.tables import load

# A vGPU profile ("GRID A100-10C", "NVIDIA A40-8Q") and a MIG slice ("A100-SXM4-40GB MIG 1g.5gb") have part of the card.
_SHARE = re.compile(r"\bMIG\b|\bGRID\b|-\d+[ABCQ]$|\b\d+g\.\d+gb\b")


@dataclass(frozen=True)
class GpuModel:
    """One model as NVIDIA sells it. Rates are those of the slowest variant of the name, None where not told."""

    name: str
    memory_gb: float
    multiprocessors: Tuple[int, ...]
    bandwidth_bytes_per_second: float
    flops_per_second: Dict[str, float]  # by "float32", "tf32", "bfloat16", "float16"; dense
    matrix_floor: float  # share of these below which something is wrong
    source: str


def gpu_model(name: str) -> Optional[GpuModel]:
    """The model of a product name, or None where the table has none: also for a laptop's chip and a share of a card."""
    if is_share(name) or any(word.lower() in name.lower() for word in load("gpu_rates")["not_these"]):
        return None
    return next((model for fragment, model in _models() if fragment.search(name)), None)


def is_share(name: str) -> bool:
    """True for the name of a MIG slice or a vGPU, which has part of a card by agreement."""
    return _SHARE.search(name) is not None


def floor(name: str) -> float:
    """The share of a rate below which something is wrong: "bandwidth", "matrix" or "host_link"."""
    return float(load("gpu_rates")["floors"][name])


@lru_cache(maxsize=None)
def _models() -> Tuple[Tuple["re.Pattern[str]", GpuModel], ...]:
    table: Dict[str, Dict[str, Any]] = load("gpu_rates")["models"]
    longest_first: List[str] = sorted(table, key=len, reverse=True)
    return tuple(
        (
            re.compile(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![0-9A-Za-z])", re.IGNORECASE),
            _model(name, table[name]),
        )
        for name in longest_first
    )


def _model(name: str, row: Dict[str, Any]) -> GpuModel:
    rates = {"float32": row.get("fp32"), "tf32": row.get("tf32"), "float16": row.get("half")}
    if "tf32" in row:  # the chips without it, before Ampere, have no bf16 units either
        rates["bfloat16"] = row.get("half")
    return GpuModel(
        name,
        float(row["gb"]),
        tuple(row.get("sm", ())),
        float(row["bandwidth"]) * 1e9,
        {dtype: float(rate) * 1e12 for dtype, rate in rates.items() if rate is not None},
        float(row.get("floor", floor("matrix"))),
        str(load("gpu_rates")["sources"][row["source"]]),
    )
