"""`envdoc fix --script FILE`: the safe repairs of a training script as a diff; with --apply, made."""

import difflib
import os
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import typer

from envdoc.doctor.commands.output import announce, write
from envdoc.doctor.home import home
from envdoc.doctor.printable import printable
from envdoc.doctor.script.edits import Repair
from envdoc.doctor.script.keep import as_bytes, replace_file
from envdoc.doctor.script.notebook_text import changed_cells
from envdoc.doctor.script.reader import Source, parse, read_source
from envdoc.doctor.script.repair import Repaired, repaired
from envdoc.doctor.target import choose_target


def fix_scripts(paths: Sequence[Path], python: Optional[str], apply: bool, only: Sequence[str]) -> None:
    """Show the repairs of these files, and with `apply` make them. Exit code 1 where a fault is left to the user."""
    from envdoc.doctor.examine import look
    from envdoc.doctor.rules.script import CODES, installed

    versions = installed(look(choose_target(python, os.environ, home()), quick=True))
    codes = {check: code for code, check in CODES.items()}
    wanted = tuple(code.upper() for code in only)
    is_left = False
    for source in [read_source(path) for path in paths]:
        tree, unreadable = parse(source)
        if tree is None:
            assert unreadable is not None
            write(printable(f"{source.path}: it cannot be read, {unreadable.reason}.\n"))
            is_left = True
            continue
        done = repaired(source, versions, lambda check: not wanted or codes[check].startswith(wanted))
        is_left = is_left or bool(done.left)
        write(printable(_told(source, done, codes)))
        if apply and done.repairs:
            kept = replace_file(source, as_bytes(source, done.text))
            announce(f"Repaired {source.path}. The original is {kept.name}, beside it.")
        elif done.repairs:
            announce("Nothing was changed. `--apply` makes these repairs and keeps the original.")
    raise typer.Exit(1 if is_left else 0)


def _told(source: Source, done: Repaired, codes: Dict[str, str]) -> str:
    if not done.repairs and not done.left:
        return f"{source.path}: nothing to repair.\n"
    lines = [f"{source.path}: {_count(done.repairs)}"]
    lines += [f"  {codes[one.check]} {_place(source, one.line)}: {one.says}" for one in done.repairs]
    for check, line in dict.fromkeys(done.left):
        code = codes[check]
        lines.append(f"  {code} {_place(source, line)}: left to you; `envdoc explain {code}` says what to do")
    return "\n".join(lines) + "\n" + ("\n" + diff(source, done.text) if done.repairs else "")


def _count(repairs: Sequence[Repair]) -> str:
    return {0: "no safe repair", 1: "1 repair"}.get(len(repairs), f"{len(repairs)} repairs")


def _place(source: Source, line: int) -> str:
    cell, inner = source.place(line)
    return f"cell {cell}, line {inner}" if cell else f"line {inner}"


def diff(source: Source, text: str) -> str:
    """The unified diff; of a notebook one for each cell that changes."""
    if not source.is_notebook:
        return _unified(source.text, text, source.path, source.path)
    parts: List[str] = []
    for number, (before, after) in changed_cells(source, text).items():
        name = f"{source.path} cell {number}"
        parts.append(_unified(before, after, name, name))
    return "".join(parts)


def _unified(before: str, after: str, old: str, new: str) -> str:
    made: List[str] = []
    for line in difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{old}", f"b/{new}"
    ):
        made.append(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n")
    return "".join(made)
