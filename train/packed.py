"""How packed rows are given to a model so that none sees another, and the proof that it does so.

Several forms, since models and versions of transformers differ in what they take (compat_packing.py):
    varlen      all rows on one line and where each ends; attention by row, no mask; so too short, flash, rows
                (fast/attention.py; on a GPU)
    positions   position_ids that begin at 0 with each row; transformers makes the mask of every layer from them
    mask        the same positions, and a 4-D mask that is causal within each row and shut between rows
    flat        positions, all rows on one line: flash attention takes the rows' lengths from them

Which form a model takes is not looked up but tried: two short rows go through it apart, packed, and packed with the
first row changed. A model with code of its own, or with memory between tokens (Mamba), fails there and is refused.
"""

from typing import Any, Callable, Dict, List, Optional, Tuple

import torch

from envdoc.train import compat_packing
from envdoc.train.batches import Batch, lay_flat, lay_packs
from envdoc.train.errors import ModelError
from envdoc.train.fast import attention
from envdoc.train.forms import AS_IT_IS, PADDED, Form
from envdoc.train.turns import Tokens

__all__ = ["AS_IT_IS", "PADDED", "Form", "choose", "mask_of"]

FIRST, SECOND = 11, 21  # tokens of the two rows of the trial
# Of what mixing the rows does to the second one's logits, this much may remain. Measured on seven random models on a
# CPU, 2026-11-30: in fp32 0 when only the first row changes and under 1e-6 against the row alone, in bf16 0 and under
# 0.002, in 8 bits up to 0.017 and 0 (LLM.int8 chooses its columns by all the tokens that it sees).
ROUNDING = 0.1
LEAK = 1e-3


def choose(
    model: Any, max_length: int, quantization: str = "none", autocast: Optional[torch.dtype] = None
) -> Form:
    """The form that `find` finds. Raises ModelError where there is none."""
    form, why = find(model, max_length, quantization, autocast)
    if form is None:
        raise ModelError(
            f"`data.packing` is on, and {why}",
            "Leave `data.packing` out; `data.group_by_length=true` also saves padding, with any model.",
        )
    return form


def find(
    model: Any, max_length: int, quantization: str = "none", autocast: Optional[torch.dtype] = None
) -> Tuple[Optional[Form], str]:
    """The first form in which the model keeps packed rows apart, tried under the autocast that training uses.

    None where it does so in none, and why not, as the rest of a sentence.
    """
    reasons: Dict[str, str] = {}
    device = model.get_input_embeddings().weight.device
    with torch.autocast(device.type, autocast, enabled=autocast is not None):
        for form in _forms(model, max_length, autocast):
            attention.windows_seen.clear()
            both = [form, form.otherwise] if form.otherwise else [form]
            wrong = (_mixes(model, one, noisy=quantization == "8bit") for one in both)
            reason = next(filter(None, wrong), None) or attention.misses_window(model, form, max_length)
            if reason is None:
                return form, ""
            reasons[form.name] = reason
    told = "; ".join(f"as {name}, {reason}" for name, reason in reasons.items())
    window = compat_packing.window_of(model.config)
    return None, (
        f"this model ({model.config.model_type}) does not keep packed rows apart: "
        + (told or f"its attention reaches back {window} tokens, fewer than `data.max_length`")
        + "."
    )


def mask_of(positions: torch.Tensor, dtype: torch.dtype, window: Optional[int] = None) -> torch.Tensor:
    """(packs, 1, length, length): True, or 0, where a token sees another; False, or the lowest number, elsewhere.

    A token sees itself and those before it of its own row, with a window only the last `window` of them.
    """
    rows = (positions == 0).cumsum(dim=-1)
    places = torch.arange(positions.shape[1], device=positions.device)
    apart = places[:, None] - places[None, :]
    seen = (rows[:, :, None] == rows[:, None, :]) & (apart >= 0)
    if window is not None:
        seen = seen & (apart < window)
    seen = seen[:, None]
    if dtype == torch.bool:
        return seen
    return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)


def _forms(model: Any, max_length: int, autocast: Optional[torch.dtype]) -> List[Form]:
    if compat_packing.is_flash(model.config):
        return [Form("flat", _flat, "flat")]
    forms = attention.forms(model, max_length, autocast or model.get_input_embeddings().weight.dtype)
    forms += [AS_IT_IS] if compat_packing.reads_positions() else []
    window = compat_packing.window_of(model.config)
    fits, in_mask = compat_packing.window_in_mask(model.config, window, max_length)
    if fits:
        # sdpa takes True and False in any precision, eager attention and Gemma 2 add numbers to their scores.
        own = autocast or model.get_input_embeddings().weight.dtype
        dtypes = [torch.bool, *sorted({own, torch.float32}, key=lambda dtype: dtype != own)]
        forms += [Form("mask", _masked(dtype, window if in_mask else None)) for dtype in dtypes]
    return forms


def _masked(dtype: torch.dtype, window: Optional[int]) -> Callable[[Batch], Batch]:
    def change(batch: Batch) -> Batch:
        return {**batch, "attention_mask": mask_of(batch["position_ids"], dtype, window)}

    return change


def _flat(batch: Batch) -> Batch:
    return {name: batch[name] for name in ("input_ids", "labels", "position_ids") if name in batch}


def _mixes(model: Any, form: Form, noisy: bool) -> Optional[str]:
    """How the form fails, as part of a sentence; None where the rows stay apart."""
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    first, other, second = (_row(vocabulary, *way) for way in ((FIRST, 3), (FIRST, 5), (SECOND, 7)))
    device = model.get_input_embeddings().weight.device
    was_training = model.training
    model.eval()
    compat_packing.leave_quantised(model)
    try:
        with torch.no_grad():
            alone = _second(model, _plain([second], device))
            mixed = _second(model, _plain([first, second], device))
            with form.around(model):
                packed = _second(model, form(_packed([first, second], form, device)))
                changed = _second(model, form(_packed([other, second], form, device)))
    except Exception as error:  # whatever a model raises at arguments that it does not know
        return f"it fails with {type(error).__name__}"
    finally:
        model.train(was_training)
    effect = float((mixed - alone).abs().mean())
    leak, rest = float((packed - changed).abs().mean()), float((packed - alone).abs().mean())
    if not effect > 0:
        return "nothing can be seen of one row in another, so nothing can be proved"
    if leak > (ROUNDING if noisy else LEAK) * effect:
        return "a row's output changes with its neighbour"
    if rest > ROUNDING * effect:
        return "a row's output is not what it is alone"
    return None


def _row(vocabulary: int, count: int, step: int) -> Tokens:
    """Ids spread over the vocabulary, without a random number: a resumed run must draw the same ones."""
    ids = [(7919 * step * place) % vocabulary for place in range(1, count + 1)]
    return Tokens(0, ids, ids)


def _plain(rows: List[Tokens], device: torch.device) -> Batch:
    ids = [token for row in rows for token in row.input_ids]
    return {"input_ids": torch.tensor([ids], device=device)}


def _packed(rows: List[Tokens], form: Form, device: torch.device) -> Batch:
    if form.layout in ("flat", "tiled"):
        batch = lay_flat(rows, pad_id=0, tiled=form.layout == "tiled")
    else:
        batch = lay_packs([rows], pad_id=0)
    del batch["labels"]
    batch = form.ahead(batch)
    return {name: part.to(device) if torch.is_tensor(part) else part for name, part in batch.items()}


def _second(model: Any, inputs: Dict[str, Any]) -> torch.Tensor:
    """The logits of the second row, which stands last but for padding."""
    logits = model(**inputs).logits[0].float()
    real = FIRST + SECOND if inputs["input_ids"].shape[-1] > SECOND else SECOND
    return logits[real - SECOND : real]
