"""Labels and special tokens: what a script teaches its model, and what it leaves out."""

import ast
from typing import Iterator, List, Set

from envdoc.doctor.script.code import Code, text_of
from envdoc.doctor.script.memory import trained_models
from envdoc.doctor.script.seen import Seen

_SHIFTING = ("transformers.DataCollatorForLanguageModeling",)


def look(code: Code) -> Iterator[Seen]:
    """pad-is-eos, labels-missing, labels-not-masked, chat-template-return."""
    yield from _pad(code)
    yield from _labels(code)
    yield from _template(code)


def _pad(code: Code) -> Iterator[Seen]:
    collators = [
        call
        for call in code.calls_of(*_SHIFTING)
        if code.value(_mlm(code, call)) is False and not code.is_guarded(call)
    ]
    if not collators or not trained_models(code):
        return
    if any(True for _ in code.methods("add_special_tokens", "torch_mask_tokens")):
        return
    pads: List[ast.Assign] = []
    for node in code.nodes:
        if (
            isinstance(node, ast.Assign)
            and len(node.targets) == 1
            and isinstance(node.targets[0], ast.Attribute)
        ) and node.targets[0].attr in ("pad_token", "pad_token_id"):
            pads.append(node)
    for node in pads:
        target = node.targets[0]
        assert isinstance(target, ast.Attribute)
        same = target.attr.replace("pad", "eos")
        if (
            isinstance(node.value, ast.Attribute)
            and node.value.attr == same
            and "config" not in text_of(target)
        ) and len([p for p in pads if "config" not in text_of(p.targets[0])]) == 1:
            yield Seen("pad-is-eos", node, text_of(target))


def _mlm(code: Code, call: ast.Call) -> ast.AST:
    return code.keyword(call, "mlm") or (call.args[1] if len(call.args) > 1 else ast.Constant(value=True))


def _labels(code: Code) -> Iterator[Seen]:
    strings = code.strings()
    keywords: Set[str] = {k.arg for c in code.calls for k in c.keywords if k.arg}
    names = {n.attr for n in code.nodes if isinstance(n, ast.Attribute)}
    plain = [c for c in code.calls_of("transformers.Trainer") if not code.is_open(c)]
    own = [
        name
        for name in code.classes
        if code.known(ast.Name(id=name, ctx=ast.Load())) == "transformers.Trainer"
    ]
    has_labels = any("label" in word for word in (*strings, *keywords, *names))
    causal = any(
        (code.known(c.func.value) or "")
        in ("transformers.AutoModelForCausalLM", "transformers.LlamaForCausalLM")
        for c in code.methods("from_pretrained")
        if isinstance(c.func, ast.Attribute)
    )
    tokenizes = _tokenizing_maps(code)
    if causal and plain and not own and not has_labels and tokenizes:
        for call in plain:
            collator = code.keyword(call, "data_collator")
            made = code.follow(collator)
            pads = (
                isinstance(made, ast.Call) and code.known(made.func) == "transformers.DataCollatorWithPadding"
            )
            if (collator is None or pads) and len(call.args) < 3 and not _is_none_guard(code, call):
                yield Seen("labels-missing", call, "DataCollatorWithPadding")
    yield from _copied(code)


def _is_none_guard(code: Code, call: ast.Call) -> bool:
    return code.is_guarded(call)


def _tokenizing_maps(code: Code) -> bool:
    """Whether `.map(f)` is given a function of the script that calls a tokenizer, and its rows come of nothing else."""
    for call in code.methods("map"):
        given = call.args[0] if call.args else code.keyword(call, "function")
        body: List[ast.AST] = [given] if isinstance(given, ast.Lambda) else []
        if isinstance(given, ast.Name):
            body += [n for n in code.nodes if isinstance(n, ast.FunctionDef) and n.name == given.id]
        for node in body:
            for inner in ast.walk(node):
                if (
                    isinstance(inner, ast.Call)
                    and isinstance(inner.func, ast.Name)
                    and inner.func.id.startswith("token")
                ):
                    return code.keyword(call, "remove_columns") is not None
    return False


def _copied(code: Code) -> Iterator[Seen]:
    """`x["labels"] = x["input_ids"].copy()` of what was padded to a fixed length, and no -100 anywhere."""
    constants = {
        n.value for n in code.nodes if isinstance(n, ast.Constant) and not isinstance(n.value, (str, bytes))
    }
    if (
        100 in constants
        or -100 in constants
        or "ignore_index" in {n.attr for n in code.nodes if isinstance(n, ast.Attribute)}
    ):
        return
    if any(True for _ in code.calls_of(*_SHIFTING)) or not trained_models(code):
        return
    collators = ("DataCollatorForSeq2Seq", "default_data_collator", "DefaultDataCollator")
    for call in code.calls_of("transformers.Trainer"):
        collator = code.keyword(call, "data_collator")
        made = code.follow(collator)
        name = code.known(made.func if isinstance(made, ast.Call) else made) or ""
        if collator is not None and name.partition(".")[2] not in collators:
            return
    for node in code.nodes:
        if not (isinstance(node, ast.Assign) and _is_item(node.targets[0], "labels")):
            continue
        value = node.value
        if (
            isinstance(value, ast.Call)
            and isinstance(value.func, ast.Attribute)
            and value.func.attr in ("copy", "clone")
        ):
            value = value.func.value
        function = code.scope(node)
        if not _is_item(value, "input_ids") or not isinstance(function, ast.FunctionDef):
            continue
        padded = [
            call
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and code.value(code.keyword(call, "padding")) == "max_length"
        ]
        if padded:
            yield Seen("labels-not-masked", node, function.name)


def _is_item(node: ast.AST, key: str) -> bool:
    if not isinstance(node, ast.Subscript):
        return False
    index = node.slice
    inner = getattr(index, "value", None)  # Python 3.8 wraps it in ast.Index
    value = inner.value if isinstance(inner, ast.Constant) else inner
    return bool(value == key)


def _template(code: Code) -> Iterator[Seen]:
    """`ids = tokenizer.apply_chat_template(...)`, tokenized, without return_dict, then used as a tensor or a list."""
    for call in code.methods("apply_chat_template"):
        if code.is_open(call) or code.keyword(call, "return_dict") is not None or code.is_guarded(call):
            continue
        tokenize = code.keyword(call, "tokenize")
        if tokenize is not None and code.value(tokenize) is not True:
            continue
        if len(call.args) > 1:
            continue
        parent = code.parents.get(call)
        if isinstance(parent, ast.Attribute) and parent.attr in ("shape", "size", "tolist"):
            yield Seen("chat-template-return", call, parent.attr)
            continue
        if (
            isinstance(parent, ast.Attribute)
            and parent.attr in ("to", "cuda")
            and isinstance(code.parents.get(parent), ast.Call)
        ):
            parent = code.parents.get(code.parents[parent])
        if (
            isinstance(parent, ast.Assign)
            and len(parent.targets) == 1
            and isinstance(parent.targets[0], ast.Name)
        ):
            use = _used_as_tensor(code, parent.targets[0].id)
            if use:
                yield Seen("chat-template-return", call, use)


def _used_as_tensor(code: Code, name: str) -> str:
    if len(code.assigned.get(name, [])) != 1:
        return ""
    for node in code.nodes:
        if (
            isinstance(node, ast.Attribute)
            and text_of(node.value) == name
            and node.attr in ("shape", "size", "tolist")
        ):
            return f"{name}.{node.attr}"
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "generate"
        ):
            if node.args and text_of(node.args[0]) == name:
                return f"generate({name})"
            if any(k.arg in ("input_ids", "inputs") and text_of(k.value) == name for k in node.keywords):
                return f"generate(input_ids={name})"
    return ""
