"""The one place where a model is made fast, and made itself again.

In this order, since each looks at what the one before left: the head is tried on the plain model; LoRA, MLP, norms and
rotary positions are fused (fuse.py); Liger takes what is left of a model that it knows; layers that stay peft's own
get an autocast of their own. What a piece has no form for stays as it was, and `left` says so in a sentence each.
"""

from dataclasses import dataclass
from typing import Any, List, Optional, Tuple

from envdoc.train.config import Run
from envdoc.train.errors import first_line
from envdoc.train.fast import fuse, head, liger, precision
from envdoc.train.fast.loss import Head
from envdoc.train.parallel import world


@dataclass(frozen=True)
class Fast:
    """What became of it. `autocast` says whether the passes still need one; `done` and `left` are for the plan."""

    head: Optional[Head] = None
    autocast: bool = True
    done: Tuple[str, ...] = ()
    left: Tuple[str, ...] = ()


PLAIN = Fast()


NAME = "_envdoc_fast"  # of the attribute: the head holds modules of this very model


def make_fast(model: Any, run: Run, chosen: Any) -> Tuple[str, ...]:
    """Make `model`, the base with the adapter laid on it, fast; `chosen` is the run's Precision. Returns notes.

    Never raises: what fails is left out. What became of it is told by `of`.
    """
    fast = _made(model, run, chosen)
    model.__dict__[NAME] = fast
    return fast.left


def of(model: Any) -> Fast:
    """What `make_fast` made of it."""
    found: Fast = model.__dict__.get(NAME, PLAIN)
    return found


def _made(model: Any, run: Run, chosen: Any) -> Fast:
    if run.train.fused == "off" or chosen.dtype == "fp16" or world.splits_optimizer():
        return PLAIN
    found, why = head.find(model)
    done = ["the loss by pieces of the logits"] if found else []
    left = [] if found else [f"The loss is computed from whole logits, since {why}."]
    if not precision.is_fast(run, chosen):
        return Fast(found, True, tuple(done), tuple(left))
    try:
        left += fuse.fuse(model)
        done.append("LoRA, norms and rotary positions fused")
    except Exception as error:  # a stranger's model: nothing of ours may stop a run
        fuse.unfuse(model)
        left.append(f"The LoRA layers stay as peft computes them: {first_line(error)}")
    used, notes = liger.apply(model)
    done += [f"Liger's {used}"] if used else []
    left += notes
    precision.keep_autocast(model, chosen.torch_dtype)
    return Fast(found, False, (*done, "bf16 without autocast"), tuple(left))


def undo(model: Any) -> None:
    """Every module as peft and transformers compute it, as whoever loads the adapter later does."""
    model.__dict__.pop(NAME, None)
    precision.undo(model)
    liger.undo(model)
    fuse.unfuse(model)


def lines(model: Any, form: str) -> List[str]:
    """For the plan: what the run is fast by, and what of it could not be had here."""
    fast = of(model)
    if fast.autocast:
        return [f"          {note}" for note in fast.left]
    return [
        f"Fast      {', '.join(fast.done)}; attention over rows by `{form}`.",
        *[f"          {note}" for note in fast.left],
    ]
