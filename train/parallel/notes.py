"""What a rank leaves about its end: one JSON file in a folder of this node's launcher, who reads and tells it.

A rank's failure is its own, or follows from another's (its connection to that rank broke). Only the first kind is
worth a sentence, and equal sentences of several ranks are told once.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

FOLDER = "ENVDOC_RANKS"  # the variable that names the folder; set, it makes a process a rank
ATTEMPT = "ENVDOC_ATTEMPT"  # how often this node has started its ranks before

# Exit codes of ranks, beside those of errors.py. They never leave the launcher.
UNFORESEEN = 70  # a traceback; another attempt may succeed
CUT_OFF = 75  # the connection to another rank broke


@dataclass(frozen=True)
class Note:
    """How one rank ended."""

    rank: int
    host: str
    exit_code: int
    message: str
    hint: Optional[str] = None
    kind: str = ""  # the class of errors.py; ranks that stop together raise the same one
    traceback: str = ""

    @property
    def final(self) -> bool:
        """True where another attempt would end the same way: a sentence, a divergence, a signal of the user's."""
        return self.exit_code not in (UNFORESEEN, CUT_OFF)


def write(folder: Path, name: str, note: Note) -> None:
    """Leave a note; `name` is "own-RANK", or "other-RANK" for the failure of another that this rank follows."""
    partial = folder / f".{name}"
    partial.write_text(json.dumps(asdict(note)), encoding="utf-8")
    partial.replace(folder / f"{name}.json")


def read(folder: Path, kind: str) -> List[Note]:
    """The notes of one kind, by rank."""
    found = [Note(**json.loads(path.read_text(encoding="utf-8"))) for path in folder.glob(f"{kind}-*.json")]
    return sorted(found, key=lambda note: note.rank)


def clear(folder: Path) -> None:
    """Forget an attempt that is followed by another."""
    for path in folder.glob("*"):
        path.unlink()


def to_tell(own: Sequence[Note], other: Sequence[Note]) -> List[Note]:
    """What is worth telling: this node's own failures, equal ones once; else the failure that ended this node."""
    real = [note for note in own if note.exit_code != CUT_OFF]
    told: Dict[str, Note] = {}
    for note in real or other or own:
        told.setdefault(note.message, note)
    return list(told.values())


def attributed(note: Note, ranks: int) -> str:
    """The message, with its rank and host where it is not the main rank's, which speaks for the run."""
    return (
        note.message if note.rank == 0 or ranks == 1 else f"Rank {note.rank} on {note.host}: {note.message}"
    )
