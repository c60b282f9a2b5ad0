"""When releases of the training stack appeared, to the month."""

from functools import lru_cache
from typing import Optional, Tuple

from envdoc.doctor.tables import load
from envdoc.doctor.tables.versions import parsed, public

Month = int  # months since year 0: 2026-11 is 2026 * 12 + 10


@lru_cache(maxsize=None)
def months(name: str) -> Tuple[Tuple[str, Month], ...]:
    """The listed releases of a package, oldest version first; empty for a package that is not listed."""
    table = load("release_dates").get(name, {})
    return (
        tuple((version, _month(text)) for version, text in table.items()) if isinstance(table, dict) else ()
    )


def not_before(name: str, version: str) -> Optional[Month]:
    """The month before which that release cannot have appeared: that of the newest listed one up to it."""
    known = parsed(public(version))
    if known is None:
        return None
    return next((month for v, month in reversed(months(name)) if parsed(v) <= known), None)  # type: ignore[operator]


def not_after(name: str, version: str) -> Optional[Month]:
    """The month after which that release cannot have appeared: that of the oldest listed one from it on."""
    known = parsed(public(version))
    if known is None:
        return None
    return next((month for v, month in months(name) if parsed(v) >= known), None)  # type: ignore[operator]


def _month(text: str) -> Month:
    year, month = text.split("-")
    return int(year) * 12 + int(month) - 1
