"""DeepSpeed's ZeRO around the run's own model and optimizer.

Its engine is built here and not by accelerate, whose way to it has no CPU and fixes the count of micro-batches.
DeepSpeed cuts up the optimizer's state (stage 1), the gradients (2) and the weights (3), averages and clips the
gradients, and takes the step; rows, loss, schedule, checkpoints and the proof stay what they are in one process.
Run on deepspeed 0.19.8 with torch 2.13.0 and transformers 5.23.0.
"""

import contextlib
import gc
import logging
import math
import os
from typing import Any, Dict, Iterator, List, Optional

import torch

from envdoc.train.config import Run
from envdoc.train.errors import ConfigError, first_line
from envdoc.train.parallel import deepspeed_file, world

_started: Optional["Zero"] = None
# DeepSpeed asks for it, and accelerate must not see it when Trainer is made (join.py). Each rank sees one GPU, its 0.
LOCAL_RANK = "LOCAL_RANK"
_LINEAR = torch.nn.functional.linear  # zero.Init puts one of its own there, for every model of the process


class Zero:
    """The engine of one run: `next_pass`, `backward` for each micro-batch, then `norm`, and a step of `optimizer`."""

    def __init__(self, model: Any, optimizer: Any, config: Dict[str, Any]) -> None:
        global _started
        deepspeed = library()
        os.environ[LOCAL_RANK] = "0"  # until `let_go`: stage 3 asks at each gathering
        with _told_plainly():
            self.engine, *_ = deepspeed.initialize(
                model=model, optimizer=optimizer, config=config, dist_init_required=False
            )
        self.optimizer = ZeroOptimizer(self.engine, optimizer)
        _started = self

    def next_pass(self, last: bool) -> None:
        """Before a forward pass; `last` of its update, whose backward pass ends the exchange of gradients."""
        self.engine.set_gradient_accumulation_boundary(last)

    def backward(self, loss: torch.Tensor) -> None:
        """The gradients of one micro-batch, whose mean over the ranks is taken."""
        self.engine.backward(loss, scale_wrt_gas=False)

    def norm(self) -> float:
        """The norm of the whole gradient before it is clipped, the same in every rank."""
        inner = self.engine.optimizer
        norms = inner._get_norm_groups() if world.sharded() else [inner.scaled_global_norm()]
        parts = [float(part) for part in norms]
        if any(part < 0 for part in parts):  # DeepSpeed's mark of a gradient that is no number
            return math.nan
        return math.sqrt(sum(part * part for part in parts))


class ZeroOptimizer(torch.optim.Optimizer):
    """As Trainer and its schedule see it: a step is DeepSpeed's, and the state is that of this rank's part."""

    def __init__(self, engine: Any, inner: Any) -> None:
        self.engine, self.inner = (
            engine,
            inner,
        )  # no parameters of its own: those of `inner` are DeepSpeed's flat parts
        self.defaults = inner.defaults

    @property
    def param_groups(self) -> List[Dict[str, Any]]:  # type: ignore[override]
        """The run's own, whose learning rates the schedule sets."""
        return list(self.inner.param_groups)

    @property
    def state(self) -> Any:  # type: ignore[override]
        """Of this rank's part."""
        return self.inner.state

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Clip, update this rank's part, and gather the weights."""
        self.engine.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """DeepSpeed does that in its step."""

    def state_dict(self) -> Dict[str, Any]:
        """torch's own form, of this rank's part."""
        with self._parts():
            return dict(self.inner.state_dict())

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """What `state_dict` gave in a run of as many ranks."""
        with self._parts():
            self.inner.load_state_dict(state_dict)

    @contextlib.contextmanager
    def _parts(self) -> Iterator[None]:
        """Stage 3 keeps its parts out of the groups but for the step of each."""
        outer = self.engine.optimizer
        if not world.sharded():
            yield
            return
        held: Dict[int, List[Any]] = {}
        for place, part in enumerate(outer.fp32_partitioned_groups_flat):
            held.setdefault(outer.sub_group_to_group_id[place], []).append(part)
        for group, parts in held.items():
            self.inner.param_groups[group]["params"] = parts
        try:
            yield
        finally:
            for group in held:
                self.inner.param_groups[group]["params"] = []


def library() -> Any:
    """DeepSpeed, for the device of this run, with its errors but without its notices."""
    on_cpu = not torch.cuda.is_available()
    if on_cpu:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    import deepspeed

    if (
        on_cpu
    ):  # else it compiles an exchange through shared memory on the spot, where it finds a compiler (30 s)
        deepspeed.ops.__compatible_ops__ = {}
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    return deepspeed


def config_of(run: Run, model: Any, dtype: str) -> Dict[str, Any]:
    """What DeepSpeed is told of this run. Raises ConfigError."""
    # stage 3 leaves a weight in the model empty, and says beside it how large it is
    trained = sum(
        getattr(part, "ds_numel", part.numel()) for part in model.parameters() if part.requires_grad
    )
    return deepspeed_file.merged(deepspeed_file.read(run), run, world.size(), dtype, trained)


def check_settings(run: Run) -> int:
    """Let DeepSpeed read its ZeRO section before anything heavy is loaded; the stage. Raises ConfigError."""
    deepspeed_file.check_installed()
    raw = deepspeed_file.read(run)
    zero = {key: value for key, value in raw["zero_optimization"].items() if value != deepspeed_file.AUTO}
    library()
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig

    with _told_plainly():
        DeepSpeedZeroConfig(**zero)
    return deepspeed_file.stage(raw)


def cut(model: Any, config: Dict[str, Any]) -> Any:
    """Stage 3: the weights cut up, one after another, so that no GPU holds a whole base. Every rank must call it."""
    deepspeed = library()
    os.environ[LOCAL_RANK] = "0"
    with _told_plainly():
        deepspeed.comm.init_distributed(deepspeed.get_accelerator().communication_backend_name())
        deepspeed.zero.Init(module=model, config_dict_or_path=config)
    os.environ.pop(LOCAL_RANK)
    return model


def gathered(model: Any) -> Dict[str, torch.Tensor]:
    """The trained weights in one piece, on the CPU. Every rank must call it, and every rank gets them."""
    trained = {name: part for name, part in model.named_parameters() if part.requires_grad}
    for part in trained.values():
        part.partition()  # what is left whole between passes may be older than its parts (last_good.py)
    with library().zero.GatheredParameters(list(trained.values())):
        return {name: part.detach().cpu().clone() for name, part in trained.items()}


def own_part(weight: torch.Tensor) -> torch.Tensor:
    """What this rank holds of a weight: with stage 3 its part, which the weight itself is gathered from; else all."""
    return getattr(weight, "ds_tensor", weight)


def let_go() -> None:
    """After the last update: drop the engine, so that nothing holds its memory any more."""
    global _started
    torch.nn.functional.linear = _LINEAR
    os.environ.pop(LOCAL_RANK, None)
    if _started is not None:
        _started.engine.destroy()
        _started = None
        gc.collect()


@contextlib.contextmanager
def _told_plainly() -> Iterator[None]:
    """DeepSpeed's refusal of its configuration as ours."""
    try:
        yield
    except (ValueError, AssertionError, TypeError, KeyError) as error:
        listed = getattr(error, "errors", None)  # pydantic's ValidationError
        if listed is not None:
            first = listed()[0]
            told = f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}."
        else:
            told = first_line(error)
        raise ConfigError(f"DeepSpeed refuses its configuration: {told}") from None
