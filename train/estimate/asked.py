"""What a run file asks of a pass: the bridge from config.Run to the closed form."""

from dataclasses import replace
from typing import Tuple

from envdoc.train import compat
from envdoc.train.config import Run
from envdoc.train.errors import ConfigError
from envdoc.train.estimate.families import ATTENTION_ONLY
from envdoc.train.estimate.memory import Pass
from envdoc.train.estimate.passes import Passes
from envdoc.train.estimate.saved import Way
from envdoc.train.estimate.shape import Shape


def pass_of(run: Run, shape: Shape, passes: Passes, learnt_share: float = 1.0) -> Pass:
    """The largest pass of the run on a GPU. `auto` counts as none (quantisation) and off (checkpointing)."""
    model, train = run.model, run.train
    sixteen = model.dtype != "fp32"
    fused = is_fused(run)
    way = Way(
        fused=fused,
        activation_bytes=2 if sixteen else 4,
        autocast=sixteen and not fused,
        stacked=model.quantization != "8bit" and model.quantization != "4bit",
        apart=fused and (run.lora.dora or model.quantization == "8bit"),
        liger=fused and compat.version_of("liger-kernel") is not None,
        r=run.lora.r,
        targets=targets_of(run, shape),
        dropout=run.lora.dropout > 0,
        masked=passes.padded,
        row_length=passes.longest_row if passes.padded else run.data.max_length,
    )
    tokens = passes.largest_tokens
    return Pass(
        way=way,
        tokens=tokens,
        learnt=max(1, round(tokens * learnt_share * passes.full)),
        quantization="none" if model.quantization == "auto" else model.quantization,
        full_preparation=model.preparation != "lean" and not fused,
        checkpointing=False if train.gradient_checkpointing == "auto" else train.gradient_checkpointing,
        optimizer=train.optimizer,
        recorded=train.cuda_graphs is True,
        chunked_loss=train.fused == "auto" and model.dtype != "fp16",
        judged_tokens=run.eval.batch_size * passes.longest_row if run.data.held_out else 0,
    )


def is_fused(run: Run) -> bool:
    """Whether a GPU would compute the run by train/fast: what fast/precision.py asks, for a GPU that has bf16."""
    return (
        run.train.fused == "auto" and run.model.preparation != "full" and run.model.dtype in ("auto", "bf16")
    )


def replaced(one: Pass, tokens: int) -> Pass:
    """The same pass with so many tokens."""
    return replace(one, tokens=tokens, learnt=max(1, round(one.learnt * tokens / one.tokens)))


def usual(one: Pass, passes: Passes) -> Pass:
    """A pass of the usual size, by which time goes."""
    return replaced(one, max(1, round(passes.usual_tokens)))


def targets_of(run: Run, shape: Shape) -> Tuple[str, ...]:
    """The linear layers that carry LoRA. Raises ConfigError where the run names one that the model lacks."""
    whole = [linear.name for linear in shape.linears if not linear.experts and not linear.router]
    asked = run.lora.targets
    if asked == "all" or (asked == "auto" and shape.family not in ATTENTION_ONLY):
        return tuple(whole)
    wanted = ATTENTION_ONLY[shape.family] if asked == "auto" else asked
    found = tuple(name for name in whole if name in wanted or name.split(".")[-1] in wanted)
    missing = [name for name in wanted if name not in {*found, *(each.split(".")[-1] for each in found)}]
    if missing:
        raise ConfigError(
            f"`lora.targets` names `{missing[0]}`, and no linear layer of a {shape.family} is called that.",
            f"It has: {', '.join(whole)}.",
        )
    return found
