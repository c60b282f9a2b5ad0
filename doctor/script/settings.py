"""Arguments that contradict each other, and packages that the script asks for."""

import ast
from typing import Dict, Iterator, List

from envdoc.doctor.script.code import UNKNOWN, Code
from envdoc.doctor.script.seen import Seen

_ARGUMENTS = (
    "transformers.TrainingArguments", "transformers.Seq2SeqTrainingArguments", "trl.SFTConfig",
)  # fmt: skip
# Import name -> distribution, where a training script's missing import is a matter of its environment.
IMPORTS: Dict[str, str] = {
    name: name
    for name in (
        "torch", "transformers", "peft", "trl", "accelerate", "datasets", "bitsandbytes", "evaluate", "sentencepiece",
        "wandb", "tensorboard", "tensorboardX", "deepspeed", "unsloth", "einops", "loralib", "appdirs", "fire",
        "gradio", "swanlab", "mlflow", "xformers", "modelscope", "tiktoken", "safetensors", "jieba", "optimum",
        "tokenizers",
    )
}  # fmt: skip
IMPORTS.update(
    {
        "flash_attn": "flash-attn", "sklearn": "scikit-learn", "huggingface_hub": "huggingface-hub",
        "rouge_score": "rouge-score",
        "auto_gptq": "auto-gptq", "liger_kernel": "liger-kernel", "rouge_chinese": "rouge-chinese", "yaml": "pyyaml",
    }
)  # fmt: skip
REPORTERS = {
    "wandb": "wandb", "mlflow": "mlflow", "comet_ml": "comet-ml", "clearml": "clearml", "neptune": "neptune",
    "swanlab": "swanlab",
}  # fmt: skip


def look(code: Code) -> Iterator[Seen]:
    """contradicting-arguments, missing-package."""
    for call in code.calls_of(*_ARGUMENTS):
        if not code.is_open(call) and code.own_parameters(call.func) == set():
            yield from _contradictions(code, call)
    yield from _packages(code)


def _contradictions(code: Code, call: ast.Call) -> Iterator[Seen]:
    given = {name: code.value(value) for name, value, _ in code.keywords(call)}
    if given.get("fp16") is True and given.get("bf16") is True:
        yield Seen(
            "contradicting-arguments", call, "fp16 and bf16|both are asked for, and at most one can be"
        )
    if given.get("load_best_model_at_end") is not True:
        return
    evaluates = _word(given.get("eval_strategy", given.get("evaluation_strategy", "no")))
    saves = _word(given.get("save_strategy", "steps"))
    if UNKNOWN in (evaluates, saves) or saves == "best":
        return
    if evaluates != saves:
        words = f"load_best_model_at_end|saves by '{saves}' and evaluates by '{evaluates}', and they must be the same"
        yield Seen("contradicting-arguments", call, words)
        return
    every, evals = given.get("save_steps", 500), given.get("eval_steps", given.get("logging_steps", 500))
    if saves == "steps" and isinstance(every, int) and isinstance(evals, int) and evals > 0 and every % evals:
        words = (
            f"load_best_model_at_end|saves every {every} steps, which is no multiple of eval_steps {evals}"
        )
        yield Seen("contradicting-arguments", call, words)


def _word(value: object) -> object:
    return value if value is UNKNOWN or isinstance(value, str) else UNKNOWN


def _packages(code: Code) -> Iterator[Seen]:
    for node in code.nodes:
        roots: List[str] = []
        if isinstance(node, ast.Import):
            roots = [alias.name.split(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            roots = [(node.module or "").split(".")[0]]
        roots = [root for root in roots if root in IMPORTS]
        if (
            roots
            and code.scope(node) is code.tree
            and not code.is_guarded(node)
            and not code.is_conditional(node)
        ):
            for root in roots:
                yield Seen("missing-package", node, f"import {root}|{IMPORTS[root]}")
    for call in code.calls_of(*_ARGUMENTS):
        if code.is_guarded(call):
            continue
        asked = code.value(code.keyword(call, "report_to") or ast.Constant(value=None))
        for name in [asked] if isinstance(asked, str) else asked if isinstance(asked, (list, tuple)) else []:
            if name in REPORTERS:
                yield Seen("missing-package", call, f"report_to='{name}'|{REPORTERS[name]}")
        optimizer = code.value(code.keyword(call, "optim") or ast.Constant(value=None))
        if (
            isinstance(optimizer, str)
            and ("8bit" in optimizer or optimizer.startswith("paged_"))
            and "torchao" not in optimizer
        ):
            yield Seen("missing-package", call, f"optim='{optimizer}'|bitsandbytes")
        if code.keyword(call, "deepspeed") is not None and isinstance(
            code.value(code.keyword(call, "deepspeed")), (str, dict)
        ):
            yield Seen("missing-package", call, "deepspeed=|deepspeed")
    for call in code.calls_of("transformers.BitsAndBytesConfig"):
        if not code.is_guarded(call) and not code.is_conditional(call):
            yield Seen("missing-package", call, "BitsAndBytesConfig|bitsandbytes")
    for call in code.methods("from_pretrained"):
        if (
            code.value(code.keyword(call, "attn_implementation")) == "flash_attention_2"
            and not code.is_conditional(call)
            and not code.is_guarded(call)
        ):
            yield Seen("missing-package", call, "flash_attention_2|flash-attn")
