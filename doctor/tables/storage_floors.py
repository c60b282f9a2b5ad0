"""How much room a folder should have (storage_floors.toml)."""

from dataclasses import dataclass
from typing import Optional

from envdoc.doctor.tables import load


@dataclass(frozen=True)
class Floor:
    """Free bytes (or files) below which a folder of that purpose is worth an info, a warning or an error."""

    needs: str
    info: Optional[int] = None
    warning: Optional[int] = None
    error: Optional[int] = None

    def level(self, free: int) -> Optional[str]:
        """The worst level that `free` is under, or None."""
        levels = (("error", self.error), ("warning", self.warning), ("info", self.info))
        return next((name for name, floor in levels if floor is not None and free < floor), None)


def floor_for(purpose: str) -> Optional[Floor]:
    """The floor of that purpose ("cache"), or None where there is none."""
    row = load("storage_floors").get(purpose)
    return Floor(**row) if isinstance(row, dict) else None
