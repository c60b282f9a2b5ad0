"""All checks over one file: what was seen, as the snapshot keeps it, and with its nodes for `repair`."""

import ast
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Script, ScriptFile, Sighting
from envdoc.doctor.script import adapters, apis, data, loading, memory, overrides, process, settings
from envdoc.doctor.script.code import Code
from envdoc.doctor.script.reader import Source, Unreadable, lines_of, parse, read_source
from envdoc.doctor.script.seen import Seen

THEMES = (apis, overrides, memory, adapters, data, process, loading, settings)
MOST_TEXT = 120


def look_at(paths: Sequence[Path]) -> Script:
    """What the checks see in these files. Raises EnvdocError where one cannot be read."""
    files = tuple(look_at_source(read_source(path)) for path in paths)
    names = sorted({sighting.check for file in files for sighting in file.seen})
    return Script(files, tuple(names))


def look_at_source(source: Source) -> ScriptFile:
    """What the checks see in one text, in the order of its lines."""
    tree, unreadable = parse(source)
    if tree is None:
        assert unreadable is not None
        return _unreadable(source, unreadable)
    lines = lines_of(source.text)
    try:
        seen = see(tree)
    except RecursionError:
        return _unreadable(source, Unreadable("it is nested too deeply to be followed"))
    local = _beside(Path(source.path))
    kept = [one for one in seen if not (one.check == "missing-package" and _module(one.subject) in local)]
    return ScriptFile(
        path=source.path,
        is_notebook=source.is_notebook,
        seen=tuple(_sighting(source, one, lines) for one in kept),
    )


def see(tree: ast.Module) -> Tuple[Seen, ...]:
    """What every check sees, each thing once, in the order of the lines."""
    code = Code(tree)
    found: List[Seen] = [one for theme in THEMES for one in theme.look(code)]
    found.sort(key=lambda one: (one.line, getattr(one.node, "col_offset", 0), one.check))
    return tuple({(id(one.node), one.check, one.subject): one for one in found}.values())


def _sighting(source: Source, one: Seen, lines: Sequence[str]) -> Sighting:
    cell, line = source.place(one.line)
    text = lines[one.line - 1].strip() if 0 < one.line <= len(lines) else ""
    return Sighting(one.check, line, cell, one.subject, text[:MOST_TEXT])


def _unreadable(source: Source, why: Unreadable) -> ScriptFile:
    cell, line = source.place(why.line) if why.line else (0, 0)
    return ScriptFile(
        source.path, source.is_notebook, problem=why.reason, problem_line=line, problem_cell=cell
    )


def _module(subject: str) -> Optional[str]:
    asked = subject.partition("|")[0]
    return asked[len("import ") :] if asked.startswith("import ") else None


def _beside(path: Path) -> "set[Optional[str]]":
    """The modules that lie beside the script, which it finds before any installed one."""
    try:
        return {item.stem for item in path.parent.iterdir() if item.suffix == ".py" or item.is_dir()}
    except OSError:
        return set()
