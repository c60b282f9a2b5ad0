"""Known issues as data, one TOML file each: when it applies, how it shows, what to do, how to reproduce it.

They are read from advisories.json, which `scripts/rules-docs` writes from all of them: a log is to be answered within a
third of a second. A test compares the two.
"""

import json
import re
import sys
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Tuple

from envdoc.doctor.advisories.symptoms import Symptom

FOLDER = Path(__file__).parent
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
    symptom: Tuple[Symptom, ...] = ()  # lines that only this cause prints
    weak_symptom: Tuple[Symptom, ...] = ()  # lines that it shares with others
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
    """Every advisory, by id. Raises ValueError where one is none: a mistake in envdoc itself."""
    rows = json.loads((FOLDER / "advisories.json").read_text(encoding="utf-8"))
    return tuple(Advisory(**{key: _value(key, value) for key, value in row.items()}) for row in rows)


def load(folder: Path) -> Tuple[Advisory, ...]:
    """Every advisory of that folder, by id, from its own file. Raises ValueError where a file is no advisory."""
    return tuple(_load(path) for path in sorted(folder.glob("*.toml")))


def advisories_in_toml() -> str:
    """What advisories.json must hold: every file, one advisory a line, each symptom with the words it needs."""
    rows = []
    for path in sorted(FOLDER.glob("*.toml")):
        advisory, raw = _load(path), _toml(path)
        for key in ("symptom", "weak_symptom"):
            if key in raw:
                raw[key] = [[symptom.pattern, *symptom.words] for symptom in getattr(advisory, key)]
        rows.append(json.dumps(raw, ensure_ascii=False, default=str))
    return "[\n" + ",\n".join(rows) + "\n]\n"


def _toml(path: Path) -> Dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    loaded: Dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    return loaded


def _load(path: Path) -> Advisory:
    """One file. Raises ValueError, which names it, where it is no advisory."""
    raw = _toml(path)
    unknown = set(raw) - {item.name for item in fields(Advisory)}
    if unknown or raw.get("id") != path.stem or raw.get("kind") not in KINDS:
        raise ValueError(
            f"{path.name}: unknown keys {sorted(unknown)}, an id that is not the name, or no kind."
        )
    try:
        advisory = Advisory(**{key: _value(key, value) for key, value in raw.items()})
        for pattern in advisory.symptom + advisory.weak_symptom:
            _ = pattern.compiled
    except (TypeError, re.error) as error:
        raise ValueError(f"{path.name}: {error}") from error
    return advisory


def _value(key: str, raw: Any) -> Any:
    if key in ("symptom", "weak_symptom"):
        return tuple(Symptom(row) if isinstance(row, str) else Symptom(row[0], row[1:]) for row in raw)
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


def symptom(pattern: str) -> Symptom:
    """The pattern as it is searched for: case does not matter, and a space matches a line that was wrapped there."""
    return Symptom(pattern)
