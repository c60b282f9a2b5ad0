"""What is handed from step to step of a run: first what was asked for, then everything that stands ready to train."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Optional, Tuple

from envdoc.train.config import Run

if TYPE_CHECKING:
    from envdoc.train.held_out import HeldOut
    from envdoc.train.labels import Corpus
    from envdoc.train.model import Precision
    from envdoc.train.packed import Form
    from envdoc.train.units import Units


@dataclass(frozen=True)
class Asked:
    """The run as the user asked for it; known before any library is loaded."""

    settings: Run
    source: str  # where the settings came from, as part of a sentence
    context: Mapping[str, Any]  # what the doctor tells: {"envdoc_version", "facts", "lockfile"}
    folder: Path  # the run's folder, absolute
    dry_run: bool
    resume: bool


@dataclass(frozen=True)
class Ready:
    """Everything that a run is made of, just before its first update."""

    asked: Asked
    precision: "Precision"
    base_folder: Path
    fingerprint: str  # of the base
    tokenizer: Any
    corpus: "Corpus"
    identity: Mapping[str, Any]  # what a resumed run must share with the one that it goes on from
    checkpoint: Optional[Path]  # where it goes on from
    model: Any  # the base with the adapter on it
    units: "Units"  # what an epoch is made of: rows, or packs of them
    form: "Form"  # how batches are given to the model
    held_out: "Optional[HeldOut]" = None  # the rows that it is judged by
    chosen: Tuple[str, ...] = ()  # what `auto` became, and why, in sentences

    @property
    def settings(self) -> Run:
        """The run as it was asked for."""
        return self.asked.settings

    @property
    def folder(self) -> Path:
        """The run's folder, absolute."""
        return self.asked.folder

    @property
    def adapter_folder(self) -> Path:
        """Where the finished adapter lies."""
        return self.asked.folder / "adapter"

    def without_model(self) -> "Ready":
        """The same without the model, so that nothing holds its memory any more."""
        return replace(self, model=None)

    @property
    def pad_id(self) -> int:
        """The id that fills up rows; masked by length, so that the end token may serve."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id)
