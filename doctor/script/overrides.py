"""What a script replaces of Trainer and of the model: compute_loss, state_dict, save_model."""

import ast
from typing import Iterator, List, Optional

from envdoc.doctor.script.code import Code, Function, text_of
from envdoc.doctor.script.seen import Seen

TRAINERS = ("transformers.Trainer", "transformers.Seq2SeqTrainer", "trl.SFTTrainer")


def look(code: Code) -> Iterator[Seen]:
    """compute-loss-signature, state-dict-override, save-model-override, resume-override."""
    saves_parts: List[ast.ClassDef] = []
    for name, node in code.classes.items():
        if code.known(ast.Name(id=name, ctx=ast.Load())) not in TRAINERS:
            continue
        for method in node.body:
            if not isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef)):
                continue
            if method.name == "compute_loss" and not _takes(method, "num_items_in_batch"):
                if not code.is_guarded(node):
                    yield Seen("compute-loss-signature", method, name)
            elif method.name in ("save_model", "_save", "_save_checkpoint"):
                saved = _own_parameters_saved(code, method)
                if saved is not None:
                    saves_parts.append(node)
                    yield Seen("save-model-override", saved, f"{name}.{method.name}")
    yield from _state_dict(code)
    for call in code.methods("train"):
        resumed = code.keyword(call, "resume_from_checkpoint")
        if (
            saves_parts
            and resumed is not None
            and code.value(resumed) not in (None, False)
            and not any(_writes_config(code, owner) for owner in saves_parts)
        ):
            yield Seen("resume-override", call, saves_parts[0].name)


def _takes(method: Function, name: str) -> bool:
    """Whether the method can be given that keyword."""
    arguments = method.args
    given = [a.arg for a in (*arguments.args, *arguments.kwonlyargs)]
    return (
        name in given
        or arguments.kwarg is not None
        or (len(arguments.args) > 4 and arguments.vararg is not None)
    )


def _state_dict(code: Code) -> Iterator[Seen]:
    """`model.state_dict = (lambda self, *_, **__: get_peft_model_state_dict(self, ...)).__get__(model, type(model))`"""
    for node in code.nodes:
        if not isinstance(node, ast.Assign) or len(node.targets) != 1:
            continue
        target = node.targets[0]
        if (
            isinstance(target, ast.Attribute)
            and target.attr == "state_dict"
            and not code.is_guarded(node)
            and _mentions(code, node.value, "get_peft_model_state_dict")
        ):
            yield Seen("state-dict-override", node, text_of(target))


def _mentions(code: Code, value: ast.AST, function: str) -> bool:
    """Whether the value calls that function, itself or in a function of the script that it names."""
    bodies: List[ast.AST] = [value]
    for name in ast.walk(value):
        if isinstance(name, ast.Name):
            bodies += [
                n
                for n in code.nodes
                if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == name.id
            ]
    return any(
        isinstance(node, ast.Call) and (code.known(node.func) or "").endswith(f".{function}")
        for body in bodies
        for node in ast.walk(body)
    )


def _own_parameters_saved(code: Code, method: Function) -> Optional[ast.AST]:
    """The torch.save of parameters chosen by requires_grad, under their own names, as an adapter file."""
    chooses = any(isinstance(n, ast.Attribute) and n.attr == "requires_grad" for n in ast.walk(method))
    named = any(isinstance(n, ast.Attribute) and n.attr == "named_parameters" for n in ast.walk(method))
    cleans = any(
        isinstance(n, ast.Attribute) and n.attr in ("replace", "removesuffix", "sub")
        for n in ast.walk(method)
    )
    if not (chooses and named) or cleans:
        return None
    as_adapter = any(
        isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value.startswith("adapter_model")
        for n in ast.walk(method)
    )
    saves = [
        n
        for n in ast.walk(method)
        if isinstance(n, ast.Call) and code.known(n.func) in ("torch.save", "safetensors.torch.save_file")
    ]
    return saves[0] if saves and as_adapter else None


def _writes_config(code: Code, owner: ast.ClassDef) -> bool:
    """Whether the class writes an adapter_config.json too."""
    return any(
        (isinstance(n, ast.Attribute) and n.attr == "save_pretrained")
        or (isinstance(n, ast.Constant) and n.value == "adapter_config.json")
        or (isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "super")
        for n in ast.walk(owner)
    )
