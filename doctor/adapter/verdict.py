"""The verdict on a folder: its checks, whether they leave the adapter real, as text and as JSON."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Check:
    """One thing looked at. `ok` is None where it could not be told; a failed check that is `grave` makes it unreal."""

    name: str
    ok: Optional[bool]
    detail: str
    file: str = ""
    grave: bool = True

    @property
    def failed(self) -> bool:
        """True where this alone makes the adapter unreal."""
        return self.ok is False and self.grave

    def line(self) -> str:
        """The check as one line of text."""
        word = "ok  " if self.ok else "-   " if self.ok is None else "FAIL" if self.grave else "warn"
        return f"{word} {self.name}: {self.detail}"

    def to_json(self) -> Dict[str, Any]:
        """The check as a JSON object."""
        level = None if self.ok is not False else "error" if self.grave else "warning"
        return {"name": self.name, "ok": self.ok, "level": level, "detail": self.detail, "file": self.file}


@dataclass(frozen=True)
class FileVerdict:
    """One file of weights and what became of it: "real", "not real" or "not loaded"."""

    file: str
    verdict: str
    tensors: int
    numbers: int
    bytes: int

    def line(self) -> str:
        """The file as one line of text."""
        return f"{self.file}: {self.verdict} ({self.tensors} tensors, {self.numbers:,} numbers, {self.bytes:,} bytes)"


@dataclass(frozen=True)
class Verdict:
    """Everything said of one folder."""

    folder: str
    origin: str
    checks: Tuple[Check, ...]
    files: Tuple[FileVerdict, ...]
    base: str = ""  # as adapter_config.json names it
    rescue: bool = False  # `--rescue` would mend the names

    @property
    def real(self) -> bool:
        """True where no grave check failed."""
        return not any(check.failed for check in self.checks)

    def to_json(self) -> Dict[str, Any]:
        """The verdict as a JSON document; `base` and `checks` as in the proof with a base model."""
        return {
            "schema_version": SCHEMA_VERSION,
            "adapter": self.folder,
            "origin": self.origin,
            "base": self.base,
            "real": self.real,
            "files": [vars(file) for file in self.files],
            "checks": [check.to_json() for check in self.checks],
        }

    def lines(self) -> List[str]:
        """The checks as lines, failures first among equals being needless: they stay in the order of looking."""
        lines = [check.line() for check in self.checks]
        lines += [file.line() for file in self.files]
        return lines

    def sentence(self) -> str:
        """The verdict in one line."""
        if self.real:
            return f"Nothing in `{self.folder}` says that the adapter is not real."
        failed = ", ".join(dict.fromkeys(check.name for check in self.checks if check.failed))
        return f"The adapter in `{self.folder}` is NOT real: {failed} failed."
