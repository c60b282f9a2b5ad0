"""Files and code that a script loads: pickles, and a model's own code from the hub."""

import ast
import re
from typing import Iterator, Optional

from envdoc.doctor.script.code import Code, text_of
from envdoc.doctor.script.seen import Seen

# What only a whole module or object has, and a dict of tensors has not.
_OF_A_MODULE = (
    "eval",
    "train",
    "parameters",
    "generate",
    "state_dict",
    "named_parameters",
    "half",
    "forward",
)
_OBJECT_FILES = ("training_args.bin",)
_TAKES_WEIGHTS = ("load_state_dict", "set_peft_model_state_dict")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FOLDERS = (
    "models",
    "model",
    "data",
    "checkpoints",
    "output",
    "outputs",
    "results",
    "ckpt",
    "weights",
    "pretrained",
)


def look(code: Code) -> Iterator[Seen]:
    """torch-load-object, torch-load-unguarded, remote-code-unpinned."""
    for call in code.calls:
        if (
            code.dotted(call.func) == "torch.load"
            and not code.is_guarded(call)
            and code.keyword(call, "weights_only") is None
            and not code.is_open(call)
        ):
            yield from _load(code, call)
    for call in code.methods("from_pretrained"):
        assert isinstance(call.func, ast.Attribute)
        owner = code.known(call.func.value) or ""
        if not owner.startswith("transformers.") or code.keyword(call, "revision") is not None:
            continue
        if code.keyword(call, "code_revision") is not None or code.is_open(call):
            continue
        if code.value(code.keyword(call, "trust_remote_code")) is not True:
            continue
        name = code.value(call.args[0] if call.args else code.keyword(call, "pretrained_model_name_or_path"))
        if isinstance(name, str) and _REPOSITORY.fullmatch(name) and name.split("/")[0] not in _FOLDERS:
            yield Seen("remote-code-unpinned", call, name)


def _load(code: Code, call: ast.Call) -> Iterator[Seen]:
    path = call.args[0] if call.args else None
    named = [n.value for n in ast.walk(path) if isinstance(n, ast.Constant)] if path is not None else []
    if any(isinstance(text, str) and text.endswith(_OBJECT_FILES) for text in named):
        yield Seen("torch-load-object", call, "TrainingArguments")
        return
    parent = code.parents.get(call)
    if isinstance(parent, ast.Attribute) and parent.attr in _OF_A_MODULE:
        yield Seen("torch-load-object", call, f"a module (.{parent.attr})")
        return
    name = _assigned_to(parent)
    if name:
        if len(code.assigned.get(name, [])) != 1:
            return
        for node in code.nodes:
            if (
                isinstance(node, ast.Attribute)
                and text_of(node.value) == name
                and node.attr in _OF_A_MODULE
                and isinstance(code.parents.get(node), ast.Call)
            ):
                yield Seen("torch-load-object", call, f"a module (.{node.attr})")
                return
    if _becomes_weights(code, call, parent, name):
        yield Seen("torch-load-unguarded", call, text_of(call.func))


def _assigned_to(parent: Optional[ast.AST]) -> str:
    if (
        isinstance(parent, ast.Assign)
        and len(parent.targets) == 1
        and isinstance(parent.targets[0], ast.Name)
    ):
        return parent.targets[0].id
    return ""


def _becomes_weights(code: Code, call: ast.Call, parent: Optional[ast.AST], name: str) -> bool:
    """Whether the loaded thing is given whole to what takes a state dict."""
    for taker in code.calls:
        function = taker.func.attr if isinstance(taker.func, ast.Attribute) else text_of(taker.func)
        if function in _TAKES_WEIGHTS and any(a is call or (name and text_of(a) == name) for a in taker.args):
            return True
    return False
