"""A run as its folder tells it: the files that other programs may read too, and from which the report is made."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from envdoc.train import events
from envdoc.train.run_files import ENVIRONMENT, RUN
from envdoc.train.told import RECEIPT


@dataclass(frozen=True)
class Record:
    """What is known of a run; an unfinished one has no receipt."""

    name: str
    happened: Tuple[Dict[str, Any], ...]  # the events that count, in order
    receipt: Optional[Dict[str, Any]]
    environment: Dict[str, Any]
    run_file: str

    def of(self, kind: str) -> List[Dict[str, Any]]:
        """Its events of one kind."""
        return [event for event in self.happened if event["kind"] == kind]

    @property
    def start(self) -> Dict[str, Any]:
        """What the last attempt said at its start."""
        return (self.of("start") or [{}])[-1]

    @property
    def end(self) -> Dict[str, Any]:
        """How the last attempt ended; {} where it was killed, or still goes on."""
        after = [event for event in self.happened if event["kind"] in ("start", "end")]
        return after[-1] if after and after[-1]["kind"] == "end" else {}


def read_record(folder: Path) -> Record:
    """The record of the run in that folder; what is missing is left empty. Raises OSError, ValueError."""
    happened = events.effective(events.read(folder / events.NAME))
    receipt, environment, run_file = folder / "adapter" / RECEIPT, folder / ENVIRONMENT, folder / RUN
    return Record(
        name=folder.name,
        happened=tuple(happened),
        receipt=json.loads(receipt.read_text(encoding="utf-8")) if receipt.exists() else None,
        environment=json.loads(environment.read_text(encoding="utf-8")) if environment.exists() else {},
        run_file=run_file.read_text(encoding="utf-8") if run_file.exists() else "",
    )
