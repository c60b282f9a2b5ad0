"""Finds a model's head and proves that nothing else stands between the hidden states and the logits.

Llama, Qwen and Mistral have a plain product there; Gemma 2 bends it, Cohere multiplies, Granite divides, and a model
with code of its own may do anything. So it is tried: the model's own forward, with hidden states of ours in place of
its decoder's, must give the logits that `Head` gives. They are large on purpose, since a soft cap of 30 leaves small
logits as they are.
"""

from contextlib import contextmanager, suppress
from typing import Any, Callable, Iterator, List, Optional, Tuple

import torch

from envdoc.train.fast.loss import Head

LARGEST = 60.0  # of the trial's logits
TOKENS = 24
# Of the largest logit. The same products: in fp32 and bf16 alike they came out equal but for a scale or a soft cap,
# which models apply in bf16 and we in fp32 (2^-8 each).
APART = {torch.float32: 1e-5, torch.bfloat16: 1.6e-2}


def find(model: Any) -> Tuple[Optional[Head], str]:
    """The head, or None and why the loss needs whole logits, as the end of a sentence that begins with `since`."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    try:
        linear = base.get_output_embeddings()
    except (AttributeError, NotImplementedError, RuntimeError):  # a model's own code
        linear = None
    if type(linear) is not torch.nn.Linear:
        kind = type(linear).__name__
        return (
            None,
            "the model names no head" if linear is None else f"its head is no plain linear layer ({kind})",
        )
    if linear.weight.requires_grad or (linear.bias is not None and linear.bias.requires_grad):
        return None, "its head trains"
    if linear.weight.dtype not in APART:
        return None, f"its head is in {str(linear.weight.dtype)[6:]}"
    why = "its decoder cannot be called without its head"
    try:
        for decoder in _decoders(base):
            head = Head(decoder, linear, *_bends(base.config))
            with torch.no_grad():
                if _is_all(base, head):
                    return head, ""
            why = "its logits are not the product of its hidden states and its head alone"
    except Exception as error:  # whatever a model raises at arguments that it does not know
        why = f"its head could not be tried ({type(error).__name__})"
    return None, why


def _decoders(base: Any) -> List[torch.nn.Module]:
    """What may lie below the head: the model without it, and what the model itself names (OPT, Llama 4)."""
    found = [getattr(base, "base_model", None)]
    with suppress(AttributeError, NotImplementedError):
        found.append(base.get_decoder())
    return [module for module in found if isinstance(module, torch.nn.Module) and module is not base]


def _bends(config: Any) -> Tuple[float, Optional[float]]:
    """The scale and the soft cap of a model's logits, by the names that transformers' configurations have for them."""
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    scale = float(getattr(text, "logit_scale", None) or 1.0)  # Cohere
    scale /= float(getattr(text, "logits_scaling", None) or 1.0)  # Granite
    softcap = getattr(text, "final_logit_softcapping", None)  # Gemma 2 and 3
    return scale, float(softcap) if softcap else None


def _is_all(base: Any, head: Head) -> bool:
    """Whether the model's own forward hands its inputs to the decoder, and gives the head's logits of what comes back.

    The decoder itself does not run: a pass over a base of 4 bits on a CPU would pack its weights anew (bitsandbytes
    0.50, outside of training), and those of the training would then round otherwise.
    """
    weight = head.linear.weight
    spread = torch.linspace(-1, 1, TOKENS * weight.shape[1], device=weight.device)
    # no random numbers: a resumed run must draw the same ones
    hidden = torch.sin(spread * 7919).reshape(1, TOKENS, -1).to(weight.dtype)
    raw = torch.nn.functional.linear(hidden, weight, head.linear.bias).float()
    hidden = hidden * float(LARGEST / raw.abs().max().clamp(min=1e-6))
    ids = torch.zeros(1, TOKENS, dtype=torch.int64, device=weight.device)
    given: List[Any] = []

    def stand_in(*inputs: Any, **named: Any) -> _Answer:
        given.append([*inputs, *named.values()])
        return _Answer(hidden)

    with _in_place_of(head.decoder, stand_in):
        theirs = base(input_ids=ids).logits
    handed_on = len(given) == 1 and any(one is ids for one in given[0])
    return handed_on and _equal(theirs, head.logits(hidden), weight.dtype)


def _equal(theirs: torch.Tensor, ours: torch.Tensor, dtype: torch.dtype) -> bool:
    if theirs.shape != ours.shape:
        return False
    largest = float(theirs.float().abs().max())
    return float((theirs.float() - ours.float()).abs().max()) <= APART[dtype] * largest


class _Answer(dict):  # type: ignore[type-arg]
    """What a decoder returns: its hidden states by name and by number, and nothing else that it may be asked for."""

    def __init__(self, hidden: torch.Tensor) -> None:
        super().__init__(last_hidden_state=hidden)

    def __getitem__(self, key: Any) -> Any:
        return (
            self["last_hidden_state"]
            if key == 0
            else ()
            if isinstance(key, slice)
            else super().__getitem__(key)
        )

    def __getattr__(self, name: str) -> Any:
        return self.get(name)


@contextmanager
def _in_place_of(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    before = module.__dict__.get("forward")
    module.forward = forward  # type: ignore[method-assign]
    try:
        yield
    finally:
        del module.forward
        if before is not None:
            module.forward = before
