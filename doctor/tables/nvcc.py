"""Which gcc an nvcc takes and which GPUs it knows (nvcc.toml)."""

from typing import Dict, Optional, cast

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import numbers


def gcc_below(toolkit: str) -> Optional[str]:
    """The first gcc that the nvcc of that toolkit ("12.4") refuses; None for one that is not in the table."""
    return _table("gcc_below").get(".".join(str(number) for number in numbers(toolkit)[:2]))


def first_toolkit(capability: str) -> Optional[str]:
    """The first toolkit that compiles for a GPU of that capability ("12.0"); None for one before the table."""
    return _table("first").get(capability)


def last_toolkit(capability: str) -> Optional[str]:
    """The last major that does ("12"); None where the newest still does."""
    table = _table("last")
    return table.get(capability) or table.get(capability.split(".")[0])


def _table(name: str) -> Dict[str, str]:
    return cast(Dict[str, str], load("nvcc")[name])
