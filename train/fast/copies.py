"""16-bit copies of the adapter's fp32 matrices, made anew after an update: those of the whole model in a dozen launches.

One by one they were 900 small kernels, in which an H200 waited for the host at the start of each update (2026-11-30).
"""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

SHELF = "envdoc_shelf"  # of a fused model


class Copies:
    """The matrices of some LoRA layers (`a`, `b`, `scale`) in the dtype of the computation, A stacked and scaled."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = parts
        self.shelf = Shelf([self])
        self.made_of: Tuple[Any, ...] = ()
        self.a = torch.empty(0)
        self.bs: List[torch.Tensor] = []

    def fresh(self, dtype: torch.dtype) -> Tuple[torch.Tensor, List[torch.Tensor]]:
        """s A (sum of r, in) and each B (out, r). Never written to once made: a backward pass may still need them.

        A B lies in memory as (r, out): the kernels that add low-rank parts then read it in whole lines.
        """
        if self.now(dtype) != self.made_of:
            self.shelf.renew(dtype, self)
        return self.a, self.bs

    def now(self, dtype: torch.dtype) -> Tuple[Any, ...]:
        """What copies of the matrices as they are would be made of."""
        return (dtype, *((p.data_ptr(), p._version) for part in self.parts for p in (part.a, part.b)))


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


def renew(model: Any) -> None:
    """Enqueue what the next pass would begin with, where it was asked for before."""
    shelf = getattr(model, SHELF, None)
    for dtype in {copies.made_of[0] for copies in shelf.copies if copies.made_of} if shelf else ():
        shelf.renew(dtype)


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


def _copy(to: Sequence[torch.Tensor], given: Sequence[torch.Tensor]) -> None:
    if hasattr(torch, "_foreach_copy_"):  # torch 2.1
        torch._foreach_copy_(list(to), list(given))
        return
    for one, other in zip(to, given):
        one.copy_(other)
