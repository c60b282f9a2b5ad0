"""Adapters that are loaded to be trained, merged into what is quantised, or aimed at layers that are not there."""

import ast
import re
from typing import Iterator, Optional, Tuple

from envdoc.doctor.script.apis import model_class
from envdoc.doctor.script.code import Code, text_of
from envdoc.doctor.script.memory import last_assignment, trained_models
from envdoc.doctor.script.seen import Seen

# Names of the attention's and the MLP's linear layers, by the checkpoint (transformers/models/*/modeling_*.py).
# A pattern stands only for checkpoints whose layers are the same in every size and version.
_LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LAYERS: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    (r"(?:openai-community/)?(?:gpt2|distilgpt2)(?:-medium|-large|-xl)?", ("c_attn", "c_proj", "c_fc")),
    (r"(?:distilbert/)?distilgpt2", ("c_attn", "c_proj", "c_fc")),
    (
        r"(?:THUDM|zai-org)/chatglm-6b(?:-int[48])?",
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    (
        r"(?:THUDM|zai-org)/chatglm[23]-6b(?:-32k|-base)?",
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    (r"bigscience/bloomz?-\w+", ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")),
    (
        r"EleutherAI/(?:pythia-[\w.]+(?:-deduped)?|gpt-neox-20b)",
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    (
        r"tiiuae/falcon-(?:rw-1b|7b|40b)(?:-instruct)?",
        ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"),
    ),
    (r"facebook/opt-[\w.]+", ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")),
    (r"(?:meta-llama|huggyllama|NousResearch|TinyLlama)/[\w.-]*[Ll]lama-?[\w.-]*", _LLAMA),
    (r"(?:huggyllama|decapoda-research)/llama-[\w-]+", _LLAMA),
    (r"mistralai/Mistral-7B-[\w.-]+", _LLAMA),
    (r"Qwen/Qwen(?:2|2\.5|3)-[\d.]+B(?:-\w+)*", _LLAMA),
)
_OTHER_KINDS = re.compile(r"(?i)llama-?4|vision|guard|vl|moe|a\d+b|int[48]|gptq|awq")
_MERGES = ("merge_and_unload", "merge_adapter")


def look(code: Code) -> Iterator[Seen]:
    """adapter-not-trainable, merge-quantized, target-modules, single-target."""
    yield from _not_trainable(code)
    yield from _merged(code)
    yield from _targets(code)


def _not_trainable(code: Code) -> Iterator[Seen]:
    if any(
        isinstance(n, ast.Attribute) and n.attr == "requires_grad" and isinstance(n.ctx, ast.Store)
        for n in code.nodes
    ):
        return
    if any(
        True
        for _ in code.methods(
            "requires_grad_", "set_adapter", "load_adapter", "add_adapter", "set_requires_grad"
        )
    ):
        return
    for model in trained_models(code):
        made = last_assignment(code, model, _statement(code, model)) if text_of(model) else model
        if not isinstance(made, ast.Call) or not isinstance(made.func, ast.Attribute):
            continue
        if made.func.attr != "from_pretrained" or not (code.known(made.func.value) or "").startswith(
            "peft.PeftModel"
        ):
            continue
        trainable = code.keyword(made, "is_trainable")
        told = False if trainable is None else code.value(trainable)
        positional = len(made.args) > 3 or code.is_open(made)
        if told is False and not positional and not code.is_guarded(made):
            yield Seen("adapter-not-trainable", made, text_of(model))


def _statement(code: Code, node: ast.AST) -> ast.AST:
    return next((around for around in code.above(node) if isinstance(around, ast.stmt)), node)


def _merged(code: Code) -> Iterator[Seen]:
    for call in code.methods(*_MERGES):
        assert isinstance(call.func, ast.Attribute)
        adapter = last_assignment(code, call.func.value, call)
        if isinstance(call.func.value, ast.Call):
            adapter = call.func.value
        if adapter is None:
            continue
        if not (
            code.known(adapter.func) == "peft.get_peft_model"
            or (
                isinstance(adapter.func, ast.Attribute)
                and adapter.func.attr == "from_pretrained"
                and (code.known(adapter.func.value) or "").startswith("peft.PeftModel")
            )
        ):
            continue
        given = code.keyword(adapter, "model") or (adapter.args[0] if adapter.args else None)
        base = given if isinstance(given, ast.Call) else None
        seen = 0
        while base is None and given is not None and seen < 6:
            made = last_assignment(code, given, adapter)
            if made is None:
                break
            if code.known(made.func) in (
                "peft.prepare_model_for_kbit_training",
                "peft.prepare_model_for_int8_training",
            ):
                given = made.args[0] if made.args else code.keyword(made, "model")
                made = _before(code, given, made)
            base, seen = made, seen + 1
        if base is not None and model_class(code, base) and bits_of(code, base):
            yield Seen("merge-quantized", call, f"{bits_of(code, base)} bit")


def _before(code: Code, given: Optional[ast.AST], made: ast.Call) -> Optional[ast.Call]:
    """What the name held before `x = prepare(x)`."""
    return last_assignment(code, given, _statement(code, made)) if given is not None else None


def bits_of(code: Code, call: ast.Call) -> int:
    """The bits that a from_pretrained quantises to: 4, 8, or 0 where the text tells none."""
    for bits, name in ((4, "load_in_4bit"), (8, "load_in_8bit")):
        if code.value(code.keyword(call, name) or ast.Constant(value=None)) is True:
            return bits
    config = code.follow(code.keyword(call, "quantization_config"))
    if isinstance(config, ast.Call) and code.known(config.func) == "transformers.BitsAndBytesConfig":
        for bits, name in ((4, "load_in_4bit"), (8, "load_in_8bit")):
            if code.value(code.keyword(config, name) or ast.Constant(value=None)) is True:
                return bits
    return 0


def _targets(code: Code) -> Iterator[Seen]:
    models = set()
    for call in code.methods("from_pretrained"):
        if model_class(code, call) is None:
            continue
        name = code.value(call.args[0] if call.args else code.keyword(call, "pretrained_model_name_or_path"))
        models.add(name if isinstance(name, str) else "")
    for call in code.calls_of("peft.LoraConfig"):
        modules = code.value(code.keyword(call, "target_modules"))
        if isinstance(modules, (list, tuple, set)) and all(isinstance(m, str) for m in modules):
            if len(modules) == 1 and not code.is_guarded(call):
                yield Seen("single-target", call, next(iter(modules)))
            if len(models) == 1 and modules:
                model = next(iter(models))
                layers = layers_of(model)
                if layers and not any(m.rpartition(".")[2] in layers or m in ("lm_head",) for m in modules):
                    found = ", ".join(sorted(modules)[:3])
                    yield Seen("target-modules", call, f"{model}|{found}|{', '.join(layers[:4])}")


def layers_of(model: str) -> Tuple[str, ...]:
    """The names of the linear layers of that checkpoint; empty where the table does not know it."""
    if not model or _OTHER_KINDS.search(model):
        return ()
    return next((layers for pattern, layers in LAYERS if re.fullmatch(pattern, model)), ())
