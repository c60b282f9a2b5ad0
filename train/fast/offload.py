"""Layer inputs kept on the CPU between forward and backward, moved by a stream of their own.

What torch.autograd.graph.save_on_cpu does, one tensor a layer and without waiting: the copy to the CPU runs beside the
next layer, and while a layer goes backward, the input of the one before it is already on its way. Pinned memory is
taken once for each layer and used again in every pass. The idea of moving layer inputs so is Unsloth's.
"""

from typing import Any, Dict, List, Optional, Tuple

import torch

from envdoc.train import compat
from envdoc.train.fast import recomputed


class Kept:
    """The input of one layer: pinned on the CPU, with the `device` that it belongs to, or where it was."""

    def __init__(
        self, tensor: torch.Tensor, device: Optional[torch.device], before: "Optional[Kept]"
    ) -> None:
        self.tensor, self.device = tensor, device
        self.before = before  # the layer's that ran before it
        self.coming: Optional[torch.Tensor] = None  # on its way back


class Offload:
    """Of one model."""

    def __init__(self) -> None:
        self.buffers: Dict[int, torch.Tensor] = {}  # of bytes, by the layer's id
        self.last: Optional[Kept] = None
        self.stream: Any = None

    def run(self, layer: Any, hidden: torch.Tensor, *inputs: Any, **named: Any) -> Any:
        """What transformers calls in place of the layer: its output, and of its input nothing left on the GPU."""
        if not (torch.is_grad_enabled() and hidden.requires_grad):
            return layer(hidden, *inputs, **named)
        beside: List[Any] = []  # before transformers 4.53 layers return tuples

        def call(one: torch.Tensor) -> torch.Tensor:
            given = layer(one, *inputs, **named)
            beside[:] = [given[1:]] if isinstance(given, tuple) else []
            return given[0] if isinstance(given, tuple) else given  # type: ignore[no-any-return]

        answer = _Recomputed.apply(hidden, call, self, id(owner_of(layer)))
        return (answer, *beside[0]) if beside else answer

    def keep(self, hidden: torch.Tensor, layer: int) -> Kept:
        """Send the input of a layer off."""
        if hidden.device.type != "cuda":
            return Kept(hidden, None, None)
        if self.stream is None:
            self.stream = torch.cuda.Stream(hidden.device)
        kept = Kept(self._buffer(layer, hidden), hidden.device, self.last)
        self.stream.wait_stream(torch.cuda.current_stream(hidden.device))
        with torch.cuda.stream(self.stream):
            kept.tensor.copy_(hidden, non_blocking=True)
        hidden.record_stream(self.stream)  # its memory is not given away before the copy is done
        self.last = kept
        return kept

    def take(self, kept: Kept) -> torch.Tensor:
        """The input on its device again; that of the layer before begins its way back."""
        if kept.device is None:
            return kept.tensor
        self._fetch(kept)
        now, hidden = torch.cuda.current_stream(kept.device), kept.coming
        assert hidden is not None
        now.wait_stream(self.stream)
        hidden.record_stream(now)
        if kept.before is not None:
            self._fetch(kept.before)
        self.last, kept.before, kept.coming = kept.before, None, None
        return hidden

    def _fetch(self, kept: Kept) -> None:
        if kept.coming is None:
            with torch.cuda.stream(self.stream):
                kept.coming = kept.tensor.to(kept.device, non_blocking=True)

    def _buffer(self, layer: int, like: torch.Tensor) -> torch.Tensor:
        """Pinned memory in the shape of a tensor. The copy back from it is ordered before: it is the same stream's."""
        size = like.numel() * like.element_size()
        if layer not in self.buffers or self.buffers[layer].numel() < size:
            self.buffers[layer] = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        return self.buffers[layer][:size].view(like.dtype).view(like.shape)


class _Recomputed(torch.autograd.Function):
    """A layer computed without a graph, and once more with one when its gradient is asked for."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, call: Any, store: Offload, layer: int) -> Any:  # type: ignore[override]
        ctx.call, ctx.store = call, store
        ctx.random, ctx.autocast = _random(hidden.device), _autocast(hidden.device.type)
        with torch.no_grad():
            answer = call(hidden)
        ctx.kept = store.keep(hidden, layer)
        return answer

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> Any:  # type: ignore[override]
        hidden = ctx.store.take(ctx.kept).detach().requires_grad_()
        on_gpu = [hidden.device] if hidden.device.type == "cuda" else []
        device, enabled, dtype = ctx.autocast
        with torch.random.fork_rng(devices=on_gpu), torch.enable_grad():
            torch.set_rng_state(ctx.random[0])
            if on_gpu:
                torch.cuda.set_rng_state(ctx.random[1], hidden.device)
            with torch.autocast(device, dtype, enabled=enabled), recomputed.output_unwanted():
                answer = ctx.call(hidden)
        torch.autograd.backward(answer, upstream)
        return hidden.grad, None, None, None


def owner_of(call: Any) -> Any:
    """The layer that a call computes: its `__call__`, or a partial of that, of its class's `forward`, or of ours."""
    called = getattr(call, "func", call)
    owner = getattr(called, "__self__", None) or next(iter(getattr(call, "args", ())), None)
    return owner if isinstance(owner, torch.nn.Module) else getattr(owner, "module", owner)


def _random(device: torch.device) -> Tuple[torch.Tensor, Optional[torch.Tensor]]:
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def _autocast(device: str) -> Tuple[str, bool, Optional[torch.dtype]]:
    enabled = compat.autocasts(device)
    return device, enabled, compat.autocast_dtype(device) if enabled else None
