"""The repairs that are safe: edits after which the script does what it did before the library changed.

A repair is made only where the installed version has what takes the old thing's place, and where the text tells all
that matters. Everything else stays advice. After each repair the text must parse, and its fault must be gone.
"""

import ast
from dataclasses import dataclass, replace
from typing import Callable, Dict, List, Optional, Tuple

from envdoc.doctor.script.code import Code
from envdoc.doctor.script.edits import Edit, Repair, Text, applied
from envdoc.doctor.script.judgement import Versions, judge, renamed
from envdoc.doctor.script.look import see
from envdoc.doctor.script.reader import Source, parse
from envdoc.doctor.script.repair_imports import Place, import_moved
from envdoc.doctor.script.seen import Seen


@dataclass(frozen=True)
class Repaired:
    """A source's text after the repairs that were made; `left` are faults without one: (check, line)."""

    text: str
    repairs: Tuple[Repair, ...] = ()
    left: Tuple[Tuple[str, int], ...] = ()


_Maker = Callable[[Place, Seen], Optional[Tuple[str, List[Edit]]]]


def repaired(
    source: Source, versions: Versions, fits: "Callable[[str], bool]" = lambda check: True
) -> Repaired:
    """The source with every safe repair whose check `fits`; the text as it is where it does not parse."""
    tree, _ = parse(source)
    if tree is None:
        return Repaired(source.text)
    place = Place(Code(tree), Text(source.text), versions)
    made: List[Repair] = []
    left: List[Tuple[str, int]] = []
    for seen in see(tree):
        if judge(seen.check, seen.subject, versions) is None or not fits(seen.check):
            continue
        found = _MAKERS[seen.check](place, seen) if seen.check in _MAKERS else None
        repair = Repair(seen.check, seen.line, found[0], tuple(found[1])) if found else None
        if repair is not None and _holds(source, [*made, repair]):
            made.append(repair)
        else:
            left.append((seen.check, seen.line))
    text = applied(source.text, [edit for repair in made for edit in repair.edits])
    return Repaired(source.text if text is None else text, tuple(made), tuple(left))


def _holds(source: Source, repairs: List[Repair]) -> bool:
    """Whether these repairs go together and leave a text that parses."""
    text = applied(source.text, [edit for repair in repairs for edit in repair.edits])
    return text is not None and parse(replace(source, text=text))[0] is not None


def _argument(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    new = renamed(seen.subject, place.versions)
    old = seen.subject.rstrip(")").partition("(")[2]
    return _rename(place, seen, old, new) if new else None


def _rename(place: Place, seen: Seen, old: str, new: str) -> Optional[Tuple[str, List[Edit]]]:
    says = f"{old}= becomes {new}="
    if isinstance(seen.node, ast.Constant) and seen.node.value == old:
        parent = place.code.parents.get(seen.node)
        if isinstance(parent, ast.Dict) and any(key is seen.node for key in parent.keys):
            start, end = place.text.span(seen.node)
            written = place.text.text[start:end]
            if written[1:-1] == old and written[0] in "\"'":
                return says, [Edit(start + 1, end - 1, new)]
            return None
    call = next((around for around in place.code.above(seen.node) if isinstance(around, ast.Call)), None)
    if call is None or any(keyword.arg == new for keyword in call.keywords):
        return None
    edit = place.text.keyword_name(seen.node, old)
    return (says, [replace(edit, new=new)]) if edit is not None else None


def _loading(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    if seen.subject == "use_auth_token":
        return _rename(place, seen, "use_auth_token", "token")
    if seen.subject == "dtype":
        return _rename(place, seen, "dtype", "torch_dtype")
    call = next((around for around in place.code.above(seen.node) if isinstance(around, ast.Call)), None)
    if call is None or place.code.value(seen.node) is not True:
        return None
    given = {keyword.arg for keyword in call.keywords}
    both = {"load_in_8bit", "load_in_4bit"} <= given
    if (
        "quantization_config" in given
        or both
        or any((name or "").startswith(("bnb_", "llm_int8")) for name in given)
    ):
        return None
    name = place.text.keyword_name(seen.node, seen.subject)
    if name is None:
        return None
    _, end = place.text.span(seen.node)
    new = f"quantization_config=BitsAndBytesConfig({seen.subject}=True)"
    edits = [Edit(name.start, end, new)]
    if place.code.imported.get("BitsAndBytesConfig") != "transformers.BitsAndBytesConfig":
        if "BitsAndBytesConfig" in place.code.imported:
            return None
        first = next(
            (
                item
                for item in place.code.tree.body
                if isinstance(item, ast.ImportFrom)
                and item.module == "transformers"
                and item.lineno < seen.line
            ),
            None,
        )
        line = place.text.line_before(first, "from transformers import BitsAndBytesConfig") if first else None
        if line is None:
            return None
        edits.append(line)
    return f"{seen.subject}=True becomes a BitsAndBytesConfig", edits


def _dtype(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    return _rename(place, seen, "torch_dtype", "dtype")


def _compute_loss(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    node = seen.node
    assert isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    arguments = node.args
    parts: List[ast.AST] = [*arguments.args, *arguments.defaults, *arguments.kwonlyargs]
    parts += [part for part in (*arguments.kw_defaults, arguments.vararg) if part is not None]
    if len(arguments.args) < 3 and arguments.vararg is None:
        return None
    end = max(place.text.span(part)[1] for part in parts)
    return "compute_loss takes num_items_in_batch", [Edit(end, end, ", num_items_in_batch=None")]


def _state_dict(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    assert isinstance(seen.node, ast.Assign)
    gone: List[ast.stmt] = [seen.node]
    names = {n.id for n in ast.walk(seen.node.value) if isinstance(n, ast.Name)}
    for node in place.code.nodes:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            is_saved = isinstance(node.value, ast.Attribute) and node.value.attr == "state_dict"
            uses = [
                n
                for n in place.code.nodes
                if isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
            ]
            inside = set(ast.walk(seen.node))
            if is_saved and name in names and all(use in inside for use in uses):
                gone.append(node)
    edits = []
    for statement in gone:
        block = _block(place.code, statement)
        edit = place.text.without(statement, all(item in gone for item in block) and statement is block[0])
        if edit is None:
            return None
        edits.append(edit)
    return "the override of state_dict is taken out", edits


def _block(code: Code, statement: ast.stmt) -> List[ast.stmt]:
    """The statements that stand beside it."""
    parent = code.parents[statement]
    for name in ("body", "orelse", "finalbody"):
        block = getattr(parent, name, None)
        if isinstance(block, list) and statement in block:
            return list(block)
    return [statement]


def _with(keyword: str) -> _Maker:
    def make(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
        if not isinstance(seen.node, ast.Call) or any(
            item.arg == keyword.partition("=")[0] for item in seen.node.keywords
        ):
            return None
        edit = place.text.with_keyword(seen.node, keyword)
        return (f"{keyword} is added", [edit]) if edit is not None else None

    return make


def _checkpointing(place: Place, seen: Seen) -> Optional[Tuple[str, List[Edit]]]:
    call = seen.node
    statement = place.code.parents.get(call)
    if (
        not isinstance(call, ast.Call)
        or not isinstance(call.func, ast.Attribute)
        or not isinstance(statement, ast.Expr)
    ):
        return None
    owner = place.text.source(call.func.value)
    edit = place.text.line_before(statement, f"{owner}.enable_input_require_grads()")
    return ("enable_input_require_grads() is called before it", [edit]) if edit is not None else None


_MAKERS: Dict[str, _Maker] = {
    "removed-import": import_moved,
    "unknown-argument": _argument,
    "loading-argument": _loading,
    "renamed-argument": _dtype,
    "compute-loss-signature": _compute_loss,
    "state-dict-override": _state_dict,
    "checkpointing-after-wrap": _checkpointing,
    "adapter-not-trainable": _with("is_trainable=True"),
    "torch-load-unguarded": _with("weights_only=True"),
    "chat-template-return": _with("return_dict=False"),
}
REPAIRED_CHECKS = tuple(_MAKERS)
