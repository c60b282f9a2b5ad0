"""16-bit copies of the adapter's fp32 matrices, made anew after an update, of the whole model in a dozen launches.

One by one they were 900 small kernels, for which an H200 waited at the start of each update (2026-11-30).

A copy that is not made anew is the worst of faults: the passes go on with the adapter as it was, the optimizer moves
weights that nobody reads, and the file that is saved is not what was trained. torch's version counter of a tensor does
not tell: fused AdamW and bitsandbytes' optimizers write past it (torch 2.13). So every step of any optimizer counts,
and `check` compares the numbers themselves.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from envdoc.train.errors import Diverged
from envdoc.train.fast.stack import Stack

SHELF = "envdoc_shelf"  # of a fused model

_steps = 0  # of all optimizers in this process


def _count(*told: Any) -> None:
    global _steps
    _steps += 1


register_optimizer_step_post_hook(_count)


class Copies:
    """The matrices of some LoRA layers (`a`, `b`, `scale`) in the dtype of the computation, A stacked and scaled."""

    def __init__(self, parts: Sequence[Any], stack: Optional[Stack] = None) -> None:
        self.parts, self.stack = parts, stack
        self.shelf = Shelf([self])
        self.made_of: Tuple[Any, ...] = ()
        self.a = torch.empty(0)
        self.bs: List[torch.Tensor] = []

    def fresh(self, dtype: torch.dtype) -> Tuple[torch.Tensor, List[torch.Tensor]]:
        """s A (sum of r, in) and each B (out, r). Never written to once made: a backward pass may still need them.

        A B lies in memory as (r, out): the kernels that add low-rank parts then read it in whole lines. What lies in a
        stack is written over: a pass ends before its update.
        """
        if self.now(dtype) != self.made_of:
            self.shelf.renew(dtype, self)
        return self.a, self.bs

    def now(self, dtype: torch.dtype) -> Tuple[Any, ...]:
        """What copies of the matrices as they are would be made of."""
        return (dtype, _steps, *((p.data_ptr(), p._version) for part in self.parts for p in (part.a, part.b)))

    def are_true(self) -> bool:
        """Whether those that the next pass would take are copies of the matrices as they are."""
        if not self.made_of or self.made_of != self.now(self.made_of[0]):
            return True  # they would be made anew
        a, bs, dtype = self.a, self.bs, self.made_of[0]
        wanted = torch.cat([(part.a.detach() * part.scale).to(dtype) for part in self.parts])
        return (
            torch.equal(a, wanted)
            and all(torch.equal(b, part.b.detach().to(dtype)) for b, part in zip(bs, self.parts))
            and (self.stack is None or self.stack.dtype != dtype or self.stack.holds(a, bs))
        )


class Shelf:
    """All copies of a model, made together."""

    def __init__(self, copies: Sequence[Copies]) -> None:
        self.copies = copies

    def renew(self, dtype: torch.dtype, asked: Optional[Copies] = None) -> None:
        """Make those anew whose matrices have changed: all of this dtype, those never made, and what is `asked` for."""
        stale = [
            copies
            for copies in self.copies
            if (copies is asked or not copies.made_of or copies.made_of[0] == dtype)
            and copies.now(dtype) != copies.made_of
        ]
        with torch.no_grad():
            for device in {copies.parts[0].a.device for copies in stale}:
                _make([copies for copies in stale if copies.parts[0].a.device == device], dtype)
        for copies in stale:
            copies.made_of = copies.now(dtype)


def lay(model: Any, found: Sequence[Copies]) -> None:
    """Make these the copies of `model`."""
    shelf = Shelf(found)
    for copies in found:
        copies.shelf = shelf
    setattr(model, SHELF, shelf)


def undo(model: Any) -> None:
    """What `lay` and the stacks did."""
    shelf = model.__dict__.pop(SHELF, None)
    for copies in shelf.copies if shelf else ():
        if copies.stack is not None:
            copies.stack.undo()


def renew(model: Any) -> None:
    """Enqueue what the next pass would begin with, where it was asked for before."""
    shelf = getattr(model, SHELF, None)
    for dtype in {copies.made_of[0] for copies in shelf.copies if copies.made_of} if shelf else ():
        shelf.renew(dtype)


def check(model: Any) -> None:
    """Raises Diverged where passes would take an adapter other than the one that is saved."""
    shelf = getattr(model, SHELF, None)
    false = [copies for copies in shelf.copies if not copies.are_true()] if shelf else []
    if false:
        raise Diverged(
            f"In {len(false)} of {len(shelf.copies)} groups of LoRA layers the copies that the passes read are not the "
            "adapter as it is: what would be saved is not what was trained. Nothing was saved.",
            "Set `train.fused=off`, and report this with the versions that `envdoc check` prints: it is a fault of "
            "envdoc's fast path.",
        )


def _make(stale: Sequence[Copies], dtype: torch.dtype) -> None:
    """The copies of one device."""
    parts = [part for copies in stale for part in copies.parts]
    rows: List[torch.Tensor] = []
    for copies in stale:
        ranks = [part.a.shape[0] for part in copies.parts]
        copies.a = copies.parts[0].a.new_empty(sum(ranks), copies.parts[0].a.shape[1], dtype=dtype)
        rows += copies.a.split(ranks)
    _copy(rows, torch._foreach_mul([part.a.detach() for part in parts], [part.scale for part in parts]))
    alike: Dict[Tuple[int, ...], List[Any]] = {}
    for part in parts:
        alike.setdefault(tuple(part.b.shape), []).append(part)
    turned = {}
    for shape, group in alike.items():
        together = group[0].b.new_empty(len(group), *shape, dtype=dtype)
        _copy(together.unbind(), [part.b.detach() for part in group])
        turned.update(zip(map(id, group), together.transpose(1, 2).contiguous().transpose(1, 2).unbind()))
    for copies in stale:
        copies.bs = [turned[id(part)] for part in copies.parts]
    stacked = [copies for copies in stale if copies.stack is not None and copies.stack.dtype == dtype]
    _copy(
        [place for copies in stacked for place in copies.stack.places()],
        [given for copies in stacked for given in (copies.a, *copies.bs)[: len(copies.stack.places())]],
    )


def _copy(to: Sequence[torch.Tensor], given: Sequence[torch.Tensor]) -> None:
    if not to:
        return  # torch takes no empty list
    if hasattr(torch, "_foreach_copy_"):  # torch 2.1
        torch._foreach_copy_(list(to), list(given))
        return
    for one, other in zip(to, given):
        one.copy_(other)
