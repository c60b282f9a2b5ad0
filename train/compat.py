"""Every difference between versions of the libraries that this pipeline meets, in one place.

Tried whole on torch 2.0.1 + transformers 4.46.3 + peft 0.13.2 + accelerate 1.0.1 (Python 3.8) and on torch 2.13.0 +
transformers 5.23.0 + peft 0.21.2 + accelerate 1.15.0 (Python 3.11), 2026-11-24. What the pipeline does itself, so
that no version can differ in it: micro-batches and their loss (Trainer's own normalisation changed in 4.46, 4.49
and later: transformers PR 34191, PR 35438, #37197), the order of the rows, checkpoints, logging.
"""

import importlib.metadata
import inspect
import os
import warnings
from typing import Any, Dict, Mapping, Optional, Sequence, Tuple, Type

LIBRARIES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "tokenizers",
    "safetensors",
    "numpy",
    "matplotlib",
)


def version_of(name: str) -> Optional[str]:
    """The installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> Dict[str, Optional[str]]:
    """The version of each library that can change a result."""
    return {name: version_of(name) for name in LIBRARIES}


def release(text: str) -> Tuple[int, ...]:
    """(2, 0, 1) of "2.0.1+cu117"; what follows the numbers does not count."""
    numbers = []
    for part in text.split("+")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def quiet(progress_bars: bool) -> None:
    """Keep the libraries' own notices off the terminal; errors still come as exceptions."""
    import torch
    import transformers

    if (
        not torch.cuda.is_available()
    ):  # else DeepSpeed, which accelerate imports where it is there, says so on stdout
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    if not progress_bars:
        transformers.logging.disable_progress_bar()


def dtype_argument(dtype: Any) -> Dict[str, Any]:
    """from_pretrained takes `dtype` since transformers 4.56, `torch_dtype` before."""
    import transformers

    return {"dtype" if release(transformers.__version__) >= (4, 56) else "torch_dtype": dtype}


def remote_class(model_config: Any) -> Any:
    """The Auto class for a model with code of its own.

    ChatGLM-6B registers AutoModel and AutoModelForSeq2SeqLM but not AutoModelForCausalLM; its AutoModel is the
    causal model with its head.
    """
    import transformers

    registered = getattr(model_config, "auto_map", None) or {}
    if "AutoModel" in registered and "AutoModelForCausalLM" not in registered:
        return transformers.AutoModel
    return transformers.AutoModelForCausalLM


def enable_checkpointing(base: Any, told: Mapping[str, Any]) -> None:
    """Gradient checkpointing, set before the adapter is laid on (peft #1142: after it, no gradient reaches LoRA).

    `told` is what torch's checkpoint is told (`use_reentrant`), since transformers 4.35 hands it on; old remote code
    refuses the keyword, and then needs the input gradients, which are asked for in any case (peft #137).
    """
    taken = inspect.signature(base.gradient_checkpointing_enable).parameters
    try:
        if "gradient_checkpointing_kwargs" in taken:
            base.gradient_checkpointing_enable(gradient_checkpointing_kwargs=dict(told))
        else:
            base.gradient_checkpointing_enable()
    except TypeError:  # a model's own `_set_gradient_checkpointing` from before 4.35
        base.gradient_checkpointing_enable()
    base.enable_input_require_grads()


def checkpoints_in_forward(layer: Any) -> bool:
    """Whether the layer's class checkpoints in `forward`, so that one put in its place must do so itself.

    transformers 5.23 does (before it, `__call__` did, and before 4.53 the model around the layers).
    """
    import torch

    asked = getattr(layer, "gradient_checkpointing", False) and layer.training
    return bool(asked and type(layer).__call__ is torch.nn.Module.__call__)


def set_tf32(on: bool) -> None:
    """TF32 in matrix products and convolutions.

    Since torch 2.9 each backend has `fp32_precision`, and a program that mixes it with the older `allow_tf32` gets a
    RuntimeError at its next look at one of them.
    """
    import torch

    if release(torch.__version__) >= (2, 9):
        for place in (torch.backends.cuda.matmul, torch.backends.cudnn.conv, torch.backends.cudnn.rnn):
            place.fp32_precision = "tf32" if on else "ieee"
    else:
        torch.backends.cuda.matmul.allow_tf32 = on
        torch.backends.cudnn.allow_tf32 = on


def prepare_quantised(base: Any) -> Any:
    """peft's k-bit preparation: base frozen, norms and head in fp32. Checkpointing is ours, before and after."""
    from peft import prepare_model_for_kbit_training

    return prepare_model_for_kbit_training(base, use_gradient_checkpointing=False)


def eight_bit_state() -> None:
    """Give bitsandbytes' 8-bit layers the flag that an older peft asks them for.

    bitsandbytes took `memory_efficient_backward` off its MatmulLtState in 0.45.0; peft before 0.14 reads it, to hand
    it to its own layer, so that no adapter can be laid on an 8-bit base (bitsandbytes #1450; seen with 0.45.5 and peft
    0.13.2, the last ones for Python 3.8; that profile locks 0.44.1, which has the flag). It stood at False, and only
    there has it any meaning that is left.
    """
    import bitsandbytes
    import peft

    state = bitsandbytes.MatmulLtState
    if release(peft.__version__) < (0, 14) and not hasattr(state, "memory_efficient_backward"):
        state.memory_efficient_backward = False


def eight_bit_rows(weight: Any) -> Tuple[Any, Any]:
    """A matrix as LLM.int8() keeps it: int8, and of each row the largest value, in fp32.

    bitsandbytes quantises by rows alone since 0.45.0; before, by rows and by columns in one function.
    """
    from bitsandbytes import functional

    if hasattr(functional, "int8_vectorwise_quant"):
        by_rows, largest, _ = functional.int8_vectorwise_quant(weight)
    else:
        by_rows, _, largest, _, _ = functional.double_quant(weight)
    return by_rows, largest


def render_chat(tokenizer: Any, messages: Sequence[Mapping[str, str]], prompt: bool = False) -> str:
    """A conversation in the tokenizer's chat template. Raises what the template raises.

    transformers before 4.34 has no templates: the same is then rendered by Jinja, in the sandbox that 4.34 took.
    """
    if hasattr(tokenizer, "apply_chat_template"):
        return str(
            tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=prompt)
        )
    from jinja2.exceptions import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    sandbox = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    sandbox.globals["raise_exception"] = refuse
    template = sandbox.from_string(str(tokenizer.chat_template))
    return template.render(messages=messages, add_generation_prompt=prompt, **tokenizer.special_tokens_map)


def optimizer_of(trainer: Any) -> Tuple[Any, Dict[str, Any]]:
    """The class that `optim` names, and its arguments: asked for the model too since transformers 4.38."""
    from transformers import Trainer

    kind = Trainer.get_optimizer_cls_and_kwargs
    asks_model = "model" in inspect.signature(kind).parameters
    return kind(trainer.args, trainer.model) if asks_model else kind(trainer.args)  # type: ignore[no-any-return]


def knows_argument(name: str) -> bool:
    """Whether TrainingArguments takes it: 4.33 has neither `lr_scheduler_kwargs` nor `neftune_noise_alpha`."""
    from transformers import TrainingArguments

    return name in inspect.signature(TrainingArguments).parameters


def trainer_arguments(values: Dict[str, Any]) -> Any:
    """TrainingArguments with no pickle, no report, no log and no saving of its own."""
    from transformers import TrainingArguments

    ours = {
        "report_to": "none",
        "disable_tqdm": True,
        "logging_strategy": "no",
        "save_strategy": "no",
        "logging_nan_inf_filter": False,  # True adds 0.0 for a NaN: why broken runs print `loss: 0.0`
        "remove_unused_columns": False,
        "optim": "adamw_torch",  # the default became adamw_torch_fused, whose rounding differs
        "gradient_accumulation_steps": 1,  # `Trainer.training_step` here splits the batch itself
    }
    return TrainingArguments(**{**ours, **values})


def undo_autocast(model: Any) -> None:
    """Take off what accelerate lays around `forward` for mixed precision (1.0 and 1.15 alike), once trained.

    Under it the adapter's fp32 products are computed in 16 bits, which nobody who loads the adapter later does: the
    same weights then gave logits that differed by 0.06 (bf16 on a CPU, 2026-11-30).
    """
    from accelerate.utils import extract_model_from_parallel

    extract_model_from_parallel(model, keep_fp32_wrapper=False)


def autocasts(device: str) -> bool:
    """Whether autocast is on there; asked by the device's name since torch 2.4."""
    import torch

    if release(torch.__version__) >= (2, 4):
        return bool(torch.is_autocast_enabled(device))
    return bool(torch.is_autocast_cpu_enabled() if device == "cpu" else torch.is_autocast_enabled())


def autocast_dtype(device: str) -> Any:
    """What autocast computes in there; asked by the device's name since torch 2.4."""
    import torch

    if release(torch.__version__) >= (2, 4):
        return torch.get_autocast_dtype(device)
    return torch.get_autocast_cpu_dtype() if device == "cpu" else torch.get_autocast_gpu_dtype()


def sdpa_scale(scale: float) -> Dict[str, float]:
    """scaled_dot_product_attention takes `scale` since torch 2.1."""
    import torch

    return {"scale": scale} if release(torch.__version__) >= (2, 1) else {}


def out_of_memory() -> Tuple[Type[Exception], ...]:
    """The exceptions of a full GPU: torch.OutOfMemoryError since torch 2.5, torch.cuda's before."""
    import torch

    found = (getattr(torch, "OutOfMemoryError", None), getattr(torch.cuda, "OutOfMemoryError", None))
    return tuple({error for error in found if error is not None})
