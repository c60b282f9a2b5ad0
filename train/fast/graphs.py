"""Passes recorded once as CUDA graphs and replayed: for models so small that the host is slower than the GPU.

A layer's kernels, forward and back, take the host some 4 ms to start, however few tokens there are: 22 layers of 1,024
tokens took 83.5 ms, and replayed 11.9; of 8,192 tokens 87.9 and 72.0. On a 7B (8,192 tokens) it is 383.0 and 382.6, so
nothing is recorded there (H200, torch 2.11, prototype, 2026-12-01). `train.cuda_graphs: auto` asks estimate/speed.py.

Recorded is what lies below the head, from token ids to hidden states and from their gradient to those of the adapter;
the loss stays outside, since it depends on how much is learnt. A recording is of one number of tokens and of tiles, so
lines are filled up to a multiple of STEP tokens, those of packs to whole packs (batches.py), and a table of tiles to a
multiple of its own. Lines that are not so are computed as ever, which gives the same numbers.
"""

import gc
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

from envdoc.train import out_of_memory
from envdoc.train.errors import first_line
from envdoc.train.fast import copies, lines, tiles
from envdoc.train.parallel import world
from envdoc.train.progress import say

STEP = lines.STEP
MOST = 24  # recordings of a run; each takes a second to make and keeps its inputs and outputs
APART = 0.02  # of the largest number, between what is replayed and what is computed: a kernel may add in another order
TRIED = 128  # tokens of each row of the trial but the first, which is as long as one may be
IDS, POSITIONS = "input_ids", "position_ids"
READ = (IDS, POSITIONS, lines.TILES)
LONGEST = ("max_length_q", "max_length_k")

Batch = Dict[str, Any]
Key = Tuple[int, int]  # tokens, tiles


class Graphs:
    """Of one model, whose layers below the head are `decoder` and whose trained ones are `weights`."""

    def __init__(
        self, model: Any, decoder: Any, weights: Sequence[torch.nn.Parameter], longest: int = tiles.LONGEST
    ) -> None:
        self.model, self.decoder, self.weights = model, decoder, list(weights)
        # Tokens of the longest row that a line may hold, also of those that fill it up.
        self.longest = max(tiles.TILE, min(longest, tiles.LONGEST))
        self.made: Dict[Key, Recorded] = {}
        self.is_off = False
        self._places: Dict[int, Tuple[torch.Tensor, torch.Tensor]] = {}
        self.pool: Any = None
        self.sums: List[torch.Tensor] = []  # of the weights' gradients, over the passes of an update
        self.anchor = torch.zeros((), requires_grad=True)  # so that autograd asks for the way back

    def hidden(self, inputs: Batch) -> Optional[torch.Tensor]:
        """(1, tokens, hidden), valid until the next pass; None where this line is to be computed as ever."""
        key = key_of(inputs)
        if key is None or self.is_off or not torch.is_grad_enabled() or not self.model.training:
            return None
        recorded = self.made.get(key)
        if recorded is None and len(self.made) < MOST:
            recorded = self._record(inputs)
        if recorded is None:
            return None
        self.made[key] = recorded
        copies.renew(self.model)
        recorded.fill(inputs)
        replayed: torch.Tensor = _Replay.apply(self.anchor, self, recorded)
        return replayed

    def drop(self) -> None:
        """Give the memory of all recordings back; no other is made."""
        self.is_off, self.pool, self.sums = True, None, []
        self.made.clear()
        self._places.clear()
        let_go()

    def gather(self) -> None:
        """Make the sums that replaying adds to the weights' gradients, whatever those are now."""
        fresh = [total for weight, total in zip(self.weights, self.sums) if weight.grad is None]
        if fresh:
            torch._foreach_zero_(fresh)
        for weight, total in zip(self.weights, self.sums):
            if weight.grad is not None and weight.grad is not total:  # a pass before was computed
                total.copy_(weight.grad)
            weight.grad = total

    def places(self, like: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """Where the hidden states of lines of so many tokens go, and where their gradient comes from."""
        tokens = like.shape[1]
        if tokens not in self._places:
            self._places[tokens] = torch.empty_like(like.detach()), torch.empty_like(like.detach())
        return self._places[tokens]

    def use(self, gradients: Sequence[Optional[torch.Tensor]]) -> None:
        """From now on these are the weights that have one; each has a sum of its own."""
        self.weights = [weight for weight, one in zip(self.weights, gradients) if one is not None]
        self.sums = [torch.zeros_like(weight) for weight in self.weights]

    def _record(self, inputs: Batch) -> Optional["Recorded"]:
        """A recording of lines like this one; None, with a note, where it cannot be had."""
        random, stream = torch.cuda.get_rng_state(), torch.cuda.current_stream()
        try:
            recorded = Recorded(self, inputs)
            why = recorded.record(tried=bool(self.made))
        except Exception as error:  # whatever a library does that cannot be recorded
            full = out_of_memory.of_whom(error)
            why = f"{full} has no memory left to record them" if full else _first(error)
        torch.cuda.set_stream(stream)  # a recording that failed leaves its own behind
        torch.cuda.set_rng_state(random)
        if not why:
            return recorded
        say(f"note: Passes are not replayed as CUDA graphs: {why}.")
        recorded = None  # type: ignore[assignment]
        self.drop()
        return None


class Recorded:
    """The passes of lines of one size."""

    def __init__(self, graphs: Graphs, inputs: Batch) -> None:
        self.graphs = graphs
        # No more than is laid anew for the next line, or holds of each: a layer that reads where rows end would read
        # this line's for ever (of a window shorter than the longest row, losses were 4% off; H200, 2026-12-01).
        self.inputs: Batch = {name: inputs[name].clone() for name in READ}
        self.inputs.update((name, graphs.longest) for name in LONGEST)
        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        self.hidden = self.gradient = torch.empty(0)

    def fill(self, inputs: Batch) -> None:
        """Lay another line where the recording reads."""
        for name in READ:
            self.inputs[name].copy_(inputs[name], non_blocking=True)

    def compute(self) -> torch.Tensor:
        """The same without a recording."""
        hidden: torch.Tensor = self.graphs.decoder(**self.inputs)[0]
        return hidden

    def record(self, tried: bool) -> str:
        """Record both ways; why what is replayed is not what is computed, as part of a sentence, or "".

        It is tried on a line of other rows, computed before anything is recorded: there need not be memory for both.
        """
        graphs = self.graphs
        # Compiles, allocates and chooses kernels. Beside the first recording another whole pass may have no room.
        with torch.set_grad_enabled(not tried):
            hidden = self.compute()
        if not tried:
            ones = torch.ones_like(hidden)
            graphs.use(torch.autograd.grad(hidden, graphs.weights, ones, allow_unused=True))
        self.hidden, self.gradient = graphs.places(hidden)
        del hidden
        was = [self.inputs[name].clone() for name in READ]
        wanted = [] if tried else self._other()
        if not tried:
            let_go()
        # Only this thread's doings are forbidden while it records: another one pins memory for the next updates, and
        # autograd's own may load kernels. The memory of recordings is one, since no two are ever under way.
        with torch.cuda.graph(self.forward, pool=graphs.pool, capture_error_mode="thread_local"):
            hidden = self.compute()
            self.hidden.copy_(hidden)
        graphs.pool = graphs.pool or self.forward.pool()
        with torch.cuda.graph(self.backward, pool=graphs.pool, capture_error_mode="thread_local"):
            torch._foreach_add_(graphs.sums, torch.autograd.grad(hidden, graphs.weights, self.gradient))
        del hidden
        apart = self._replayed(wanted) if wanted else 0.0
        for name, before in zip(READ, was):
            self.inputs[name].copy_(before)
        return "" if apart <= APART else f"what was replayed is {100 * apart:.1f}% from what is computed"

    def _other(self) -> List[torch.Tensor]:
        """Lay a line of other rows, with a gradient; its hidden states and the gradients of the weights, computed.

        They are computed from all that such a line tells, as they would be if nothing was recorded.
        """
        ids, _, laid = (self.inputs[name] for name in READ)
        rows = rows_tried(ids.shape[1], self.graphs.longest)
        ends = torch.tensor([0, *rows], dtype=torch.int32).cumsum(0, dtype=torch.int32).to(ids.device)
        other = {
            IDS: ids.flip(1),
            POSITIONS: torch.cat([torch.arange(length, device=ids.device) for length in rows])[None],
            lines.TILES: tiles.filled(tiles.of(rows), len(laid)).to(ids.device),
            lines.ENDS: ends,
            lines.LONGEST: max(rows),
        }
        self.fill(other)
        self.random = torch.cuda.get_rng_state()
        hidden = self.graphs.decoder(**lines.with_ends(other))[0]
        told = hidden.detach().clone()
        self.gradient.copy_(told)
        # Of a copy, since the way back may write into what it is given.
        return [told, *torch.autograd.grad(hidden, self.graphs.weights, told.clone())]

    def _replayed(self, wanted: List[torch.Tensor]) -> float:
        """How far what is replayed is from that: of the largest number of each tensor, the worst; NaN where one is."""
        torch.cuda.set_rng_state(self.random)
        torch._foreach_zero_(self.graphs.sums)
        self.forward.replay()
        self.backward.replay()
        shares = [_apart(one, other) for one, other in zip([self.hidden, *self.graphs.sums], wanted)]
        return float(torch.tensor(shares).max())  # Python's own `max` passes over a NaN


class _Replay(torch.autograd.Function):
    """Forward replays the way forward, backward the way back, which leaves its gradients in the sums."""

    @staticmethod
    def forward(ctx: Any, anchor: torch.Tensor, graphs: Graphs, recorded: Recorded) -> torch.Tensor:
        ctx.graphs, ctx.recorded = graphs, recorded
        recorded.forward.replay()
        return recorded.hidden.detach()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> Any:  # type: ignore[override]
        ctx.graphs.gather()
        ctx.recorded.gradient.copy_(gradient)
        ctx.recorded.backward.replay()
        return None, None, None


def rows_tried(tokens: int, longest: int) -> List[int]:
    """The rows of the line of that many tokens on which a recording is tried, no longer than `longest`."""
    first, short = min(longest, tokens - TRIED), min(longest, TRIED)
    rest = range(0, tokens - first, short)
    return [first, *(min(short, tokens - first - begin) for begin in rest)]


def key_of(inputs: Batch) -> Optional[Key]:
    """What a recording of this line is known by; None where the line is not laid for one."""
    laid, ids = inputs.get(lines.TILES), inputs.get(IDS)
    if laid is None or ids is None or set(inputs) - TAKEN:
        return None
    tokens = ids.shape[1]
    if tokens % STEP or len(laid) % tiles.step_of(tokens):
        return None
    return tokens, len(laid)


TAKEN = {IDS, POSITIONS, lines.TILES, lines.ONE_LENGTH, "cu_seq_lens_q", "cu_seq_lens_k", *LONGEST}


def let_go() -> None:
    """Hand what torch holds in reserve back, so that a recording does not lie beside it."""
    gc.collect()
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    largest = float(other.float().abs().max())
    return float((one.float() - other.float()).abs().max()) / largest if largest else float(one.abs().max())


def _first(error: BaseException) -> str:
    """What went wrong first, as part of a sentence: a recording that is broken off fails once more at its end."""
    while "captur" in str(error) and error.__context__ is not None:
        error = error.__context__
    told = first_line(error).rstrip(".")
    return f"the model asks the GPU while it computes ({told})" if "captur" in told else told


def can_replay(train: Any, form: Any, head: Any, args: Any) -> bool:
    """Whether this run's passes can be recorded at all, where `train.cuda_graphs` says so; else a note."""
    if train.cuda_graphs is not True:
        return False
    why = {
        "they are not computed on a GPU": args.device.type != "cuda",
        "they need an autocast, or the whole logits": args.bf16 or args.fp16 or head is None,
        f"attention over rows is by `{form.name}`, and only `short` is recorded": form.name != "short",
        "several processes exchange their gradients": world.size() > 1,
    }
    told = next((reason for reason, holds in why.items() if holds), None)
    if told:
        say(f"note: Passes are not replayed as CUDA graphs: {told}.")
    return told is None
