"""16-bit copies of the adapter's fp32 matrices, made anew after an update, for a whole model in one launch.

A copy that is not made anew is the worst of faults: the passes go on with the adapter as it was, the optimizer moves
weights that nobody reads, and the file that is saved is not what was trained. torch's version counter of a tensor does
not tell: fused AdamW and bitsandbytes' optimizers write past it (torch 2.13). So every step of any optimizer counts,
and `check` compares the numbers themselves.
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from envdoc.train.errors import Diverged
from envdoc.train.fast.copying import Move, Moves
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
        """s A (sum of r, in) and each B (out, r), written over after the next update: a pass ends before it.

        A B lies in memory as (r, out): the kernels that add low-rank parts then read it in whole lines.
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
            and (self.stack is None or not self.stack.is_whole(dtype) or self.stack.holds(a, bs))
        )


class Shelf:
    """All copies of a model, made together."""

    def __init__(self, copies: Sequence[Copies]) -> None:
        self.copies = copies
        # By device and dtype: of which matrices, and how they are made.
        self._moves: Dict[Any, Tuple[Any, Moves]] = {}

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
                self._make([copies for copies in stale if copies.parts[0].a.device == device], device, dtype)
        for copies in stale:
            copies.made_of = copies.now(dtype)

    def _make(self, stale: Sequence[Copies], device: torch.device, dtype: torch.dtype) -> None:
        known, moves = self._moves.get((device, dtype), (None, None))
        if moves is None or known != _places(stale):
            moves = Moves(_moves(stale, device, dtype))
            self._moves[device, dtype] = _places(stale), moves
        moves.make()


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


def _places(stale: Sequence[Copies]) -> List[Any]:
    """Where the matrices and their copies lie."""
    matrices = [(part.a.data_ptr(), part.b.data_ptr()) for copies in stale for part in copies.parts]
    return [*matrices, *((copies.a.data_ptr(), copies.a.dtype) for copies in stale)]


def _moves(stale: Sequence[Copies], device: torch.device, dtype: torch.dtype) -> List[Move]:
    """From each matrix to each of its copies, which are given their memory where they have none of this dtype."""
    moves: List[Move] = []
    for copies in stale:
        parts = copies.parts
        if not copies.bs or (copies.a.dtype, copies.a.device) != (dtype, device):
            like = parts[0].a
            copies.a = like.new_empty(sum(part.a.shape[0] for part in parts), like.shape[1], dtype=dtype)
            copies.bs = [part.b.new_empty(part.b.shape[::-1], dtype=dtype).t() for part in parts]
        stack = copies.stack
        ranks = [part.a.shape[0] for part in parts]
        places = [copies.a.split(ranks), copies.bs]
        if stack is not None and (stack.dtype, stack.below.device) == (dtype, device):
            places += [stack.below.split(ranks), *([stack.besides] if stack.is_beside else [])]
        for which, given in zip(("a", "b", "a", "b"), places):
            for part, place in zip(parts, given):
                scale = part.scale if which == "a" else 1.0
                moves.append((getattr(part, which).detach(), place, scale))
    return moves
