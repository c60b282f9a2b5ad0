"""A survey as text for a terminal and as JSON (docs/data.md describes it)."""

from typing import Any, Dict, List

from envdoc.train.examine.remarks import ERROR, WARNING
from envdoc.train.examine.survey import Survey

SCHEMA_VERSION = 1


def document(found: Survey) -> Dict[str, Any]:
    """The JSON document."""
    return {
        "schema_version": SCHEMA_VERSION,
        "file": found.path,
        "shape": found.shape,
        "rows": found.rows,
        "refused": found.refused,
        "fit": found.fit,
        "questions_a_row": {"most": found.turns.longest, "median": found.turns.at(0.5)},
        "characters_of_answers": found.characters,
        "lengths": {"unit": found.unit, "note": found.unit_note, **found.lengths.to_json()},
        "learnt_tokens": found.learnt_tokens or None,
        "max_length": found.max_length,
        "over_max_length": found.lengths.above(found.max_length),
        "scripts": found.scripts,
        "remarks": [remark.to_json() for remark in found.remarks],
        "seconds": round(found.seconds, 3),
    }


def lines(found: Survey) -> List[str]:
    """The report for a reader."""
    told = [_head(found)]
    if found.rows:
        told += ["", *_lengths(found)]
    if found.remarks:
        told.append("")
    for remark in found.remarks:
        rows = ", ".join(map(str, remark.rows)) + (", ..." if remark.count > len(remark.rows) else "")
        told.append(f"{remark.level:<7}  {remark.text}" + (f" Rows: {rows}" if remark.rows else ""))
        if remark.hint:
            told.append(f"         -> {remark.hint}")
    return [*told, "", _verdict(found)]


def printable(line: str) -> str:
    """The line without what a terminal would obey: keys and file names come from strangers."""
    return "".join(character if character.isprintable() else "?" for character in line)


def _head(found: Survey) -> str:
    turns = found.turns
    asked = (
        "one question a row"
        if turns.longest <= 1
        else f"up to {turns.longest} questions a row (row {turns.longest_row})"
    )
    refused = f", {found.refused:,} more refused" if found.refused else ""
    if not found.rows:
        return f"{found.path}: no row that can be trained on{refused.replace(' more', '')}."
    rows = "1 row" if found.rows == 1 else f"{found.rows:,} rows"
    return f"{found.path}: {rows} of the shape {found.shape}{refused}; {asked}."


def _lengths(found: Survey) -> List[str]:
    lengths = found.lengths
    learnt = f", {found.learnt_tokens:,} of them learnt" if found.learnt_tokens else ""
    over = lengths.above(found.max_length)
    longer = (
        "no row is longer" if not over else "1 row is longer" if over == 1 else f"{over:,} rows are longer"
    )
    return [
        f"{lengths.total:,} {found.unit}{learnt}: {found.unit_note}",
        *lengths.plot(found.max_length),
        f"  half of the rows have up to {lengths.at(0.5):,}, 90% up to {lengths.at(0.9):,}, "
        f"99% up to {lengths.at(0.99):,}, the longest {lengths.longest:,} (row {lengths.longest_row})",
        f"  data.max_length is {found.max_length:,}: {longer}",
    ]


def _verdict(found: Survey) -> str:
    errors = sum(remark.level == ERROR for remark in found.remarks)
    warnings = sum(remark.level == WARNING for remark in found.remarks)
    noted = f"{warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else "no warning"
    if errors:
        return f"Not fit to train on: {errors} {'error' if errors == 1 else 'errors'}, {noted}."
    return f"Fit to train on, {noted}."
