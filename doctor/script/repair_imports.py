"""The repairs of imports: a name that moved to another module, or that has another name now."""

import ast
from dataclasses import dataclass, replace
from typing import List, Optional, Tuple

from envdoc.doctor.script.code import Code
from envdoc.doctor.script.edits import Edit, Text
from envdoc.doctor.script.judgement import Versions, usable_replacement
from envdoc.doctor.script.seen import Seen


@dataclass(frozen=True)
class Place:
    """What a repair works on."""

    code: Code
    text: Text
    versions: Versions


def import_moved(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    """What is said of the repair, and its edits; None where the text does not tell all that matters."""
    old, new = seen.subject, usable_replacement(seen.subject, place.versions)
    old_name, new_name = old.rpartition(".")[2], new.rpartition(".")[2]
    if not new:
        return None
    if old.endswith(".AdamW"):
        return _adamw(place, seen)
    if isinstance(seen.node, ast.Attribute):
        if old.split(".")[0] != new.split(".")[0] or new.count(".") != 1 or old.count(".") != 1:
            return None
        _, end = place.text.span(seen.node)
        return f"{old_name} becomes {new_name}", [Edit(end - len(old_name), end, new_name)]
    if not isinstance(seen.node, ast.ImportFrom) or seen.node.module != new.rpartition(".")[0]:
        return None
    if new_name in place.code.imported and new_name != old_name:
        return None
    edits = [replace(edit, new=new_name) for edit in place.text.names_in(seen.node, old_name)]
    alias = next((a for a in seen.node.names if a.name == old_name), None)
    if alias is None or place.code.imported.get(alias.asname or old_name) != old:
        return None
    if alias.asname is None:
        for node in place.code.nodes:
            if isinstance(node, ast.Name) and node.id == old_name:
                start, end = place.text.span(node)
                edits.append(Edit(start, end, new_name))
    return f"{old_name} becomes {new_name}", edits


def _adamw(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    """torch's AdamW with the defaults of transformers' own (eps 1e-6, no weight decay) where the call gives none."""
    node = seen.node
    if not isinstance(node, ast.ImportFrom) or place.text.indent_of(node).strip():
        return None
    alias = next((a for a in node.names if a.name == "AdamW"), None)
    if alias is None:
        return None
    local = alias.asname or "AdamW"
    line = "from torch.optim import AdamW" + (f" as {alias.asname}" if alias.asname else "")
    edits: List[Edit] = []
    for use in place.code.nodes:
        if not (isinstance(use, ast.Name) and use.id == local):
            continue
        call = place.code.parents.get(use)
        if (
            not isinstance(call, ast.Call)
            or call.func is not use
            or place.code.is_open(call)
            or len(call.args) > 2
        ):
            return None
        given = {keyword.arg for keyword in call.keywords}
        if given & {"correct_bias", "no_deprecation_warning"}:
            return None
        defaults = [("eps", "1e-6"), ("weight_decay", "0.0")]
        missing = ", ".join(f"{name}={value}" for name, value in defaults if name not in given)
        edit = place.text.with_keyword(call, missing) if missing else None
        if missing and edit is None:
            return None
        edits += [edit] if edit is not None else []
    others = [a for a in node.names if a is not alias]
    start, end = place.text.span(node)
    if not others:
        return "AdamW comes from torch.optim", [Edit(start, end, line), *edits]
    written = place.text.source(node)
    if "#" in written or alias.asname:
        return None
    shorter = _without_name(place.text, node, "AdamW")
    before = place.text.line_before(node, line)
    if shorter is None or before is None:
        return None
    return "AdamW comes from torch.optim", [before, shorter, *edits]


def _without_name(text: Text, node: ast.ImportFrom, name: str) -> Optional[Edit]:
    """One name and the comma beside it taken out of `from x import a, b`."""
    tokens = text.names_in(node, name)
    if len(tokens) != 1:
        return None
    token = tokens[0]
    _, end = text.span(node)
    after = text.text[token.end : end]
    rest = after.lstrip(" \t\r\n")
    if rest.startswith(","):
        tail = rest[1:].lstrip(" \t\r\n")
        if tail and tail != ")":
            return Edit(token.start, end - len(tail), "")
    start, _ = text.span(node)
    head = text.text[start : token.start].rstrip(" \t\r\n")
    return Edit(start + len(head) - 1, token.end, "") if head.endswith(",") else None
