"""Known issues as data, one TOML file each: when it applies, how it shows, what to do, how to reproduce it."""

import re
import sys
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Pattern, Tuple

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KINDS = ("host", "library", "data", "script")
HOWS = ("run", "code", "thread")  # seen running, read in the package's code, told in a thread upstream


@dataclass(frozen=True)
class When:
    """Conditions on the facts (conditions.py): every one of `all`, and one of `any` where there are any."""

    all: Tuple[str, ...] = ()
    any: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Remedy:
    """What to do: a sentence, and commands that can be pasted. `safe` means that envdoc may run them itself."""

    advice: str
    commands: Tuple[str, ...] = ()
    safe: bool = False


@dataclass(frozen=True)
class Evidence:
    """What somebody saw, with which versions, when. What `scripts/verify-advisories` saw is in evidence.json."""

    versions: str
    date: str  # 2026-11-24
    verdict: str
    how: str = "run"  # one of HOWS


@dataclass(frozen=True)
class Proof:
    """One run of the reproducer: with these packages laid over the base environment it must fail, or pass."""

    packages: Tuple[str, ...]  # ("peft==0.3.0", "transformers==4.31.0"), each pinned in pins.txt
    fails: bool


@dataclass(frozen=True)
class Advisory:
    """One known issue."""

    id: str  # the file's name
    summary: str  # the title: what goes wrong, under 80 characters
    details: str
    cause_class: str  # of the taxonomy that `envdoc why` answers with
    kind: str  # whose fault: one of KINDS
    cause: str  # one sentence
    remedy: Remedy
    affected: Tuple[Tuple[str, str], ...] = ()  # (("peft", ">=0.3.0,<0.20.0"), ...)
    when: When = When()
    symptom: Tuple[Pattern[str], ...] = ()  # lines that only this cause prints
    weak_symptom: Tuple[Pattern[str], ...] = ()  # lines that it shares with others
    links: Tuple[str, ...] = ()  # owner/repo#N
    bounds: Tuple[
        Tuple[str, str], ...
    ] = ()  # where each version bound comes from: ("peft", "run: 0.2.0 passes, ...")
    reproducer: str = ""  # the script of reproducers/ that shows it
    proof: Tuple[Proof, ...] = ()  # its runs, on both sides of every bound
    unproved: str = ""  # why there is no reproducer: "needs a GPU below compute capability 8.0"
    evidence: Tuple[Evidence, ...] = ()
    modified: str = ""  # the day of the last change: 2026-11-24

    @property
    def conditions(self) -> Tuple[str, ...]:
        """What must all hold: the affected versions as conditions, and `when.all`."""
        return tuple(package + versions for package, versions in self.affected) + self.when.all


@lru_cache(maxsize=None)
def advisories() -> Tuple[Advisory, ...]:
    """Every advisory, by id. Raises ValueError where a file is no advisory: a mistake in envdoc itself."""
    return load(Path(__file__).parent)


def load(folder: Path) -> Tuple[Advisory, ...]:
    """Every advisory of that folder, by id. Raises ValueError where a file is no advisory."""
    return tuple(_load(path) for path in sorted(folder.glob("*.toml")))


def _load(path: Path) -> Advisory:
    with path.open("rb") as file:
        raw = tomllib.load(file)
    unknown = set(raw) - {item.name for item in fields(Advisory)}
    if unknown or raw.get("id") != path.stem or raw.get("kind") not in KINDS:
        raise ValueError(
            f"{path.name}: unknown keys {sorted(unknown)}, an id that is not the name, or no kind."
        )
    try:
        return Advisory(**{key: _value(key, value) for key, value in raw.items()})
    except (TypeError, re.error) as error:
        raise ValueError(f"{path.name}: {error}") from error


def _value(key: str, raw: Any) -> Any:
    if key in ("symptom", "weak_symptom"):
        return tuple(symptom(pattern) for pattern in raw)
    if key in ("affected", "bounds"):
        return tuple(raw.items())
    if key == "when":
        return When(**_tuples(raw))
    if key == "remedy":
        return Remedy(**_tuples(raw))
    if key == "evidence":
        return tuple(Evidence(**row) for row in raw)
    if key == "proof":
        return tuple(Proof(**_tuples(row)) for row in raw)
    return tuple(raw) if isinstance(raw, list) else raw


def _tuples(raw: Dict[str, Any]) -> Dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}


def symptom(pattern: str) -> Pattern[str]:
    """The pattern as it is searched for: case does not matter, and a space matches a line that was wrapped there."""
    return re.compile(pattern.replace(" ", r"\s+"), re.IGNORECASE)
