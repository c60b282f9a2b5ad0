"""Gradient checkpointing on a wrapped model, and half precision under a gradient scaler."""

import ast
from typing import Iterator, List, Optional

from envdoc.doctor.script.apis import model_class
from envdoc.doctor.script.code import Code, text_of
from envdoc.doctor.script.seen import Seen

PREPARED = ("peft.prepare_model_for_kbit_training", "peft.prepare_model_for_int8_training")
WRAPPED = ("peft.get_peft_model",)
TRAINING_ARGUMENTS = ("transformers.TrainingArguments", "transformers.Seq2SeqTrainingArguments")


def look(code: Code) -> Iterator[Seen]:
    """checkpointing-after-wrap, half-with-fp16."""
    yield from _checkpointing(code)
    yield from _half(code)


def _checkpointing(code: Code) -> Iterator[Seen]:
    """In one scope and order: x = get_peft_model(...), x.gradient_checkpointing_enable(); no gradient for inputs."""
    if any(
        True for _ in code.methods("enable_input_require_grads", "register_forward_hook", "requires_grad_")
    ):
        return
    if any(True for _ in code.calls_of(*PREPARED)) or any(
        "unsloth" in (v or "") for v in code.imported.values()
    ):
        return
    for call in code.methods("gradient_checkpointing_enable"):
        assert isinstance(call.func, ast.Attribute)
        wrapped = last_assignment(code, call.func.value, call)
        if wrapped is None or code.known(wrapped.func) not in WRAPPED:
            continue
        options = code.value(code.keyword(call, "gradient_checkpointing_kwargs") or ast.Constant(value=None))
        if options is None and not call.args:
            yield Seen("checkpointing-after-wrap", call, text_of(call.func.value))
        elif isinstance(options, dict) and options.get("use_reentrant") is True:
            yield Seen("checkpointing-after-wrap", call, f"{text_of(call.func.value)} use_reentrant")


def last_assignment(code: Code, target: ast.AST, before: ast.AST) -> Optional[ast.Call]:
    """The call that was assigned last to that name, in the same scope and before that node."""
    found: Optional[ast.Call] = None
    for node in code.nodes:
        if (
            (
                isinstance(node, ast.Assign)
                and len(node.targets) == 1
                and text_of(node.targets[0]) == text_of(target) != ""
            )
            and node.lineno < getattr(before, "lineno", 0)
            and code.scope(node) is code.scope(before)
            and (found is None or node.lineno > found.lineno)
        ):
            found = node.value if isinstance(node.value, ast.Call) else None
    return found


def _half(code: Code) -> Iterator[Seen]:
    """Weights in half precision that are trained, and TrainingArguments(fp16=True), which scales gradients.

    Certain in two forms: `.half()` on what get_peft_model returned, and a whole model loaded in float16 with no peft
    anywhere. A frozen base in float16 with an adapter is how it should be.
    """
    scaled = [
        call
        for call in code.calls
        if (code.known(call.func) or "") in (*TRAINING_ARGUMENTS, "trl.SFTConfig")
        and code.value(code.keyword(call, "fp16")) is True
    ]
    if not scaled:
        return
    if any(isinstance(c.func, ast.Attribute) and c.func.attr in ("float", "upcast") for c in code.calls):
        return
    if any(
        (code.dotted(n) or "") == "torch.float32" for n in code.nodes if isinstance(n, ast.Attribute)
    ):  # the script turns parameters back
        return
    for call in code.methods("half"):
        assert isinstance(call.func, ast.Attribute)
        wrapped = last_assignment(code, call.func.value, call)
        direct = call.func.value
        made = wrapped if wrapped is not None else (direct if isinstance(direct, ast.Call) else None)
        if made is not None and code.known(made.func) in WRAPPED and not code.is_conditional(call):
            yield Seen("half-with-fp16", call, "half() after get_peft_model")
    if any((v or "").split(".")[0] in ("peft", "unsloth") for v in code.imported.values()):
        return
    trained = {text_of(v) for v in trained_models(code)}
    for call in code.methods("from_pretrained"):
        if model_class(code, call) is None:
            continue
        dtype = code.keyword(call, "torch_dtype") or code.keyword(call, "dtype")
        told = code.follow(dtype)
        is_half = code.dotted(told) in ("torch.float16", "torch.half") or code.value(dtype) == "float16"
        parent = code.parents.get(call)
        names = [text_of(t) for t in parent.targets] if isinstance(parent, ast.Assign) else []
        if is_half and any(name in trained for name in names) and not code.is_conditional(call):
            yield Seen("half-with-fp16", call, "loaded in float16")


def trained_models(code: Code) -> List[ast.AST]:
    """What is given to a Trainer of transformers as its model."""
    found: List[ast.AST] = []
    for call in code.calls:
        if code.known(call.func) in ("transformers.Trainer", "transformers.Seq2SeqTrainer", "trl.SFTTrainer"):
            if code.keyword(call, "peft_config") is not None:
                continue
            model = code.keyword(call, "model") or (call.args[0] if call.args else None)
            if model is not None:
                found.append(model)
    return found
