"""Findings that a project accepts: `ignore` in ./envdoc.toml, or under `[tool.envdoc]` in ./pyproject.toml.

    ignore = [{ code = "SYS004", reason = "the job's checkpoints go to /scratch", until = "2027-01-31" }]

Both files are read and added together. The reason must be there; `until` is the last day on which it holds. A
suppressed finding keeps its status, since the rule did find its fault, but is no failure any more.
"""

import datetime
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Collection, Iterable, List, Optional, Sequence, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.files import read_bytes
from envdoc.doctor.finding import Check, Status, Suppressed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LIMIT_BYTES = 1 << 20
HINT = 'An entry reads `{ code = "SYS004", reason = "why it is accepted", until = "2027-01-31" }`.'


@dataclass(frozen=True)
class Suppression:
    """One entry of `ignore`: which code, why, until which day (inclusive), and the file that says so."""

    code: str
    reason: str
    until: Optional[datetime.date]
    source: str


def load(folder: Path, codes: Collection[str]) -> Tuple[Suppression, ...]:
    """What the files in that folder suppress; nothing where there are none. `codes` are those that rules have.

    Raises EnvdocError on a file that is no TOML, a key or code unknown, a reason missing or a date that is none.
    """
    found: List[Suppression] = []
    for name in ("envdoc.toml", "pyproject.toml"):
        text = _text(folder / name)
        if text is None or (name == "pyproject.toml" and "envdoc" not in text):
            continue  # somebody else's pyproject.toml is not ours to judge
        for one in parse(text, name, codes):
            if any(one.code == other.code for other in found):
                raise EnvdocError(f"{one.code} is suppressed twice, the second time in {name}.", "Keep one.")
            found.append(one)
    return tuple(found)


def parse(text: str, source: str, codes: Collection[str]) -> Iterable[Suppression]:
    """The entries of one file, `source` being its name. Raises EnvdocError as `load` does."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise EnvdocError(f"{source} is no valid TOML: {error}.") from error
    table: Any = document
    where = source
    if source == "pyproject.toml":
        tool = document.get("tool", {})
        table = tool.get("envdoc", {}) if isinstance(tool, dict) else {}
        where = f"[tool.envdoc] in {source}"
    if not isinstance(table, dict):
        raise EnvdocError(f"{where} is no table.", HINT)
    unknown = sorted(set(table) - {"ignore"})
    if unknown:
        raise EnvdocError(f"{where} has the key `{unknown[0]}`; the only one known is `ignore`.", HINT)
    entries = table.get("ignore", [])
    if not isinstance(entries, list):
        raise EnvdocError(f"`ignore` in {where} is no list.", HINT)
    return [_suppression(entry, source, codes) for entry in entries]


def apply(
    checks: Sequence[Check], suppressions: Sequence[Suppression], today: datetime.date
) -> Tuple[Check, ...]:
    """The checks with the accepted findings marked; where the acceptance has expired, the detail says so."""
    by_code = {one.code: one for one in suppressions}
    return tuple(_applied(check, by_code.get(check.code), today) for check in checks)


def unused(checks: Sequence[Check], suppressions: Sequence[Suppression]) -> Tuple[Suppression, ...]:
    """The suppressions whose rule was run and is satisfied. What could not be judged may still need its own."""
    states = {one.code: {check.status for check in checks if check.code == one.code} for one in suppressions}
    return tuple(one for one in suppressions if states[one.code] == {Status.OK})


def _applied(check: Check, one: Optional[Suppression], today: datetime.date) -> Check:
    if one is None or not check.failed:
        return check
    if one.until is not None and one.until < today:
        note = f"It was suppressed in {one.source} ({one.reason}); that expired on {one.until.isoformat()}."
        return replace(check, detail=f"{check.detail} {note}".strip())
    until = one.until.isoformat() if one.until is not None else None
    return replace(check, suppressed=Suppressed(one.reason, until))


def _text(path: Path) -> Optional[str]:
    try:
        return read_bytes(path, _LIMIT_BYTES).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise EnvdocError(f"{path.name} cannot be read: {error}.") from error


def _suppression(entry: Any, source: str, codes: Collection[str]) -> Suppression:
    if not isinstance(entry, dict) or not isinstance(entry.get("code"), str):
        raise EnvdocError(f"`ignore` in {source} has an entry without a code: {entry!r}.", HINT)
    code = entry["code"].strip().upper()
    unknown = sorted(set(entry) - {"code", "reason", "until"})
    if unknown:
        raise EnvdocError(f"The suppression of {code} in {source} has the unknown key `{unknown[0]}`.", HINT)
    if code not in codes:
        raise EnvdocError(
            f"{source} suppresses `{code}`, and no rule has that code.", "`envdoc rules` lists them all."
        )
    reason = entry.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        raise EnvdocError(f"The suppression of {code} in {source} gives no reason.", HINT)
    return Suppression(code, reason.strip(), _date(entry.get("until"), code, source), source)


def _date(value: Any, code: str, source: str) -> Optional[datetime.date]:
    """A TOML date or a string in ISO form."""
    if value is None or type(value) is datetime.date:
        return value
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(value)):
            raise ValueError
        return datetime.date.fromisoformat(str(value))
    except ValueError:
        raise EnvdocError(
            f"The suppression of {code} in {source} holds until `{value}`, which is no date.", HINT
        ) from None
