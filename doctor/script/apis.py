"""Names and arguments that some release of a library lacks. Which release, tables/script_api.py knows."""

import ast
from typing import Iterator, Optional

from envdoc.doctor.script.code import PACKAGES, Code
from envdoc.doctor.script.seen import Seen
from envdoc.doctor.tables.script_api import arguments, has_name

# from_pretrained passes what it does not know to the model, which refuses it; these it once knew, or knows now.
LOADING = ("load_in_8bit", "load_in_4bit", "use_auth_token", "dtype")
_MODELS = (
    "AutoModel",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "GPT2LMHeadModel",
    "LlamaModel",
    "Qwen2ForCausalLM",
)


def look(code: Code) -> Iterator[Seen]:
    """removed-import, unknown-argument, loading-argument, renamed-argument."""
    yield from _imports(code)
    yield from _attributes(code)
    yield from _arguments(code)
    yield from _loading(code)


def _imports(code: Code) -> Iterator[Seen]:
    for node in code.nodes:
        if isinstance(node, ast.ImportFrom) and node.module and not node.level and not code.is_guarded(node):
            if node.module.split(".")[0] not in PACKAGES:
                continue
            if has_name(node.module):
                yield Seen("removed-import", node, node.module)
                continue
            for alias in node.names:
                dotted = f"{node.module}.{alias.name}"
                if has_name(dotted):
                    yield Seen("removed-import", node, dotted)
        elif isinstance(node, ast.Import) and not code.is_guarded(node):
            for alias in node.names:
                if "." in alias.name and has_name(alias.name):
                    yield Seen("removed-import", node, alias.name)


def _attributes(code: Code) -> Iterator[Seen]:
    """`transformers.AdamW(...)` after `import transformers`."""
    for node in code.nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            root = code.dotted(node.value)
            if root is None or root.split(".")[0] not in PACKAGES or not _is_module(code, node.value):
                continue
            dotted = f"{root}.{node.attr}"
            if has_name(dotted) and not code.is_guarded(node):
                yield Seen("removed-import", node, dotted)


def _is_module(code: Code, node: ast.AST) -> bool:
    """Whether the name was bound by `import X` or `import X as Y`: an attribute of it is a name of that module."""
    name = node
    while isinstance(name, ast.Attribute):
        name = name.value
    if not isinstance(name, ast.Name):
        return False
    return any(
        isinstance(item, ast.Import)
        and any((alias.asname or alias.name.split(".")[0]) == name.id for alias in item.names)
        for item in code.nodes
    )


def _arguments(code: Code) -> Iterator[Seen]:
    for call in code.calls:
        name = code.known(call.func)
        known = arguments(name) if name else None
        if known is None or code.is_guarded(call):
            continue
        own = code.own_parameters(call.func)
        if own is None:
            continue
        for keyword, _, where in code.keywords(call):
            if keyword in known and keyword not in own:
                yield Seen("unknown-argument", where, f"{name}({keyword})")


def _loading(code: Code) -> Iterator[Seen]:
    for call in code.methods("from_pretrained"):
        what = model_class(code, call)
        if what is None or code.is_guarded(call):
            continue
        for keyword, value, where in code.keywords(call):
            if keyword in LOADING and not (keyword.startswith("load_in") and code.value(value) is False):
                yield Seen("loading-argument", where, keyword)
            elif keyword == "torch_dtype":
                yield Seen("renamed-argument", where, keyword)


def model_class(code: Code, call: ast.Call) -> Optional[str]:
    """The model class of transformers whose from_pretrained is called: "transformers.AutoModelForCausalLM"."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr != "from_pretrained":
        return None
    owner = code.known(call.func.value)
    if owner is None or not owner.startswith("transformers."):
        return None
    name = owner.partition(".")[2]
    is_model = (
        name.startswith("AutoModel") or name in _MODELS or "ForCausalLM" in name or "LMHeadModel" in name
    )
    is_model = is_model or "ForConditionalGeneration" in name or "ForSequenceClassification" in name
    return owner if is_model else None
