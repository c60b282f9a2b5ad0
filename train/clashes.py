"""Keys that do not go together, each pair with the sentence that says why and what to take instead.

Looked at right after the run file is read, before anything slow: a table, so that a new key adds a row.
"""

from dataclasses import dataclass
from typing import Callable, Sequence, Set, Tuple

from envdoc.train.config import Run
from envdoc.train.errors import ConfigError


@dataclass(frozen=True)
class Clash:
    """`holds` is true of a run that asks for both; `message` and `hint` are what is then said."""

    holds: Callable[[Run], bool]
    message: str
    hint: str


@dataclass(frozen=True)
class SaidTwice:
    """Two keys of which one makes the other mean nothing, given side by side in one place.

    A value on the command line that replaces one of the file is no clash: that is what the command line is for.
    """

    winner: str
    loser: str
    holds: Callable[[Run], bool]
    message: str
    hint: str


CLASHES: Tuple[Clash, ...] = (
    Clash(
        lambda run: bool(run.model.revision) and not run.model.trust_remote_code,
        "`model.revision` pins the code of a model, and `model.trust_remote_code` is false, so none would run.",
        "Set `model.trust_remote_code=true`, or leave `model.revision` out.",
    ),
    Clash(
        lambda run: run.data.packing is True and run.data.group_by_length,
        "`data.packing` and `data.group_by_length` are both on, and packs are all of one length.",
        "Leave one of them out.",
    ),
    Clash(
        lambda run: run.lora.init.startswith("pissa") and run.model.quantization != "none",
        "`lora.init` is a PiSSA start, which decomposes the base's weights, and `model.quantization` leaves none that "
        "can be decomposed.",
        "Use `lora.init=olora`, which reads quantised weights too, `lora.init=default`, or `model.quantization=none`.",
    ),
    Clash(
        lambda run: run.lora.dora and run.lora.from_base,
        "`lora.dora` is true, and `lora.init` takes part of the base's weights into the adapter: DoRA measures the "
        "lengths of these very weights, so what comes out could not be saved as an adapter of this base.",
        "Leave one of them out.",
    ),
    Clash(
        lambda run: run.parallel.strategy == "fsdp" and (run.lora.dora or run.lora.from_base),
        "`parallel.strategy` is fsdp, and DoRA and starts from the base read whole weights, of which a process has a "
        "shard.",
        "Use `parallel.strategy=ddp`, or leave `lora.dora` and `lora.init` out.",
    ),
    Clash(
        lambda run: run.parallel.strategy == "deepspeed" and not run.parallel.deepspeed,
        "`parallel.strategy` is deepspeed, and `parallel.deepspeed` names no file with its configuration.",
        'Name a JSON file; `{"zero_optimization": {"stage": 2}}` in it is enough.',
    ),
    Clash(
        lambda run: run.parallel.strategy != "deepspeed" and bool(run.parallel.deepspeed),
        "`parallel.deepspeed` names a configuration, and `parallel.strategy` is not deepspeed, so none would be read.",
        "Set `parallel.strategy=deepspeed`, or leave `parallel.deepspeed` out.",
    ),
    Clash(
        lambda run: run.parallel.strategy == "deepspeed" and run.train.optimizer == "adafactor",
        "`train.optimizer` is adafactor, which looks at rows and columns, and `parallel.strategy` is deepspeed, which "
        "lays all weights end to end.",
        "Use `train.optimizer=adamw`, or `parallel.strategy=ddp`.",
    ),
    Clash(
        lambda run: run.parallel.strategy == "fsdp" and bool(run.eval.samples),
        "`parallel.strategy` is fsdp, and `eval.samples` asks one process to generate: the others would not take part.",
        "Use `parallel.strategy=ddp`, or leave `eval.samples` out.",
    ),
    Clash(
        lambda run: bool(run.data.eval_path) and run.data.eval_fraction > 0,
        "`data.eval_path` and `data.eval_fraction` are both given, and the rows to judge by come from one of them.",
        "Leave one of them out.",
    ),
    Clash(
        lambda run: run.eval.patience > 0 and not run.data.held_out,
        "`eval.patience` is above 0, and no rows are held out to judge by.",
        "Set `data.eval_fraction=0.05` or `data.eval_path=FILE`.",
    ),
)

SAID_TWICE: Tuple[SaidTwice, ...] = (
    SaidTwice(
        "train.steps",
        "train.epochs",
        lambda run: run.train.steps > 0,
        "`train.steps` and `train.epochs` both say how long to train, and `train.steps` would win.",
        "Leave one out, or set `train.steps=0`.",
    ),
    SaidTwice(
        "train.schedule",
        "train.warmup_fraction",
        lambda run: run.train.schedule == "constant" and run.train.warmup_fraction > 0,
        "`train.schedule` is constant, which never warms up, and `train.warmup_fraction` asks for a warm-up.",
        "Leave `train.warmup_fraction` out, or take `train.schedule=linear` or cosine.",
    ),
    SaidTwice(
        "train.batch_size",
        "train.accumulation",
        lambda run: run.train.batch_size == "auto",
        "`train.batch_size` is auto, by which the plan chooses what an update is, and `train.accumulation` is given.",
        "Leave `train.accumulation` out, or give `train.batch_size` a number.",
    ),
    SaidTwice(
        "train.batch_size",
        "data.packing",
        lambda run: run.train.batch_size == "auto" and run.data.packing is False,
        "`train.batch_size` is auto, by which rows are packed, and `data.packing` is false.",
        "Leave `data.packing` out, or give `train.batch_size` a number.",
    ),
)


def meaningless(run: Run) -> Set[str]:
    """The keys whose value means nothing in this run, since another one wins."""
    return {pair.loser for pair in SAID_TWICE if pair.holds(run)}


def check(run: Run, places: Sequence[Set[str]] = ()) -> None:
    """Raises ConfigError for the first pair that does not go together; `places` holds the keys given in each place."""
    for clash in CLASHES:
        if clash.holds(run):
            raise ConfigError(clash.message, clash.hint)
    for pair in SAID_TWICE:
        if pair.holds(run) and any({pair.winner, pair.loser} <= place for place in places):
            raise ConfigError(pair.message, pair.hint)
