"""TensorBoard, Weights & Biases, MLflow and SwanLab, told by transformers' own callbacks; all off by default.

Each keeps its own ways: W&B and SwanLab write to their servers unless WANDB_MODE=offline or SWANLAB_MODE=local, MLflow
to MLFLOW_TRACKING_URI or the working directory, TensorBoard to the run's folder. Asking for one is asking for that.
A tracker that fails after the first update is left out and never ends the run.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Sequence

from envdoc.train import compat
from envdoc.train.errors import ConfigError, first_line
from envdoc.train.progress import say

CALLBACKS = {
    "tensorboard": "TensorBoardCallback",
    "wandb": "WandbCallback",
    "mlflow": "MLflowCallback",
    "swanlab": "SwanLabCallback",  # since transformers 4.50
}
OFFLINE = {"wandb": "WANDB_MODE=offline", "swanlab": "SWANLAB_MODE=local"}


def check(names: Sequence[str]) -> None:
    """Raises ConfigError for a tracker whose package this environment lacks."""
    for name in names:
        if find_spec(name) is None:
            raise ConfigError(
                f"`report.to` names {name}, and this environment has no package `{name}`.",
                f"Install it with `{sys.executable} -m pip install {name}`, or leave it out of `report.to`.",
            )


def make(names: Sequence[str], trainer: Any, folder: Path) -> Any:
    """One callback that tells all of them. Raises ConfigError where this transformers lacks one."""
    from transformers import TrainerCallback, integrations

    told: Dict[str, Any] = {}
    for name in names:
        kind = getattr(integrations, CALLBACKS[name], None)
        if kind is None:
            raise ConfigError(
                f"`report.to` names {name}, for which transformers {compat.version_of('transformers')} has no callback."
            )
        told[name] = _started(name, _build, name, kind, folder)

    class Trackers(TrainerCallback):  # type: ignore[misc]
        """Hands what happens on to every tracker that still works."""

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            for name, callback in told.items():
                _started(name, callback.on_train_begin, args, state, control, **kwargs)
            self._was_no_training(args, state, control)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            last = trainer.history.last
            if not trainer.entries.progress.is_said(state.global_step):
                return
            values = {
                key: last[key] for key in ("loss", "learning_rate", "grad_norm") if last.get(key) is not None
            }
            values["tokens_per_second"] = last["tokens"] / last["seconds"]
            self._hand_on("on_log", args, state, control, logs=values, **kwargs)
            self._was_no_training(args, state, control)

        def on_log(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._hand_on("on_log", args, state, control, **kwargs)

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self._hand_on("on_train_end", args, state, control, **kwargs)

        def _was_no_training(self, args: Any, state: Any, control: Any) -> None:
            """A server may take seconds to answer: Watch does not count what ends with an evaluation."""
            trainer.callback_handler.on_evaluate(args, state, control, {})

        def _hand_on(self, event: str, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            for name, callback in list(told.items()):
                try:
                    getattr(callback, event)(args, state, control, **kwargs)
                except Exception as error:  # a server that went away, a full disk...
                    say(f"note: {name} is told nothing from step {state.global_step} on: {first_line(error)}")
                    del told[name]

    return Trackers()


def _build(name: str, kind: Any, folder: Path) -> Any:
    if name == "tensorboard":
        from torch.utils.tensorboard import SummaryWriter

        return kind(SummaryWriter(log_dir=str(folder / "tensorboard")))
    if name == "mlflow":
        # Asking for MLflow is asking for one's own server; its makers' telemetry goes elsewhere: six packets of a run
        # of three updates (3.17.2, scripts/prove-trackers).
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    if name == "swanlab":
        import swanlab

        # The callback asks whether there is a run, which swanlab 0.10 answers with an error where there is none
        # (transformers 5.23: "No active Run. Call swanlab.init() first.").
        swanlab.init(project=os.environ.get("SWANLAB_PROJECT"), experiment_name=folder.name)
    return kind()


def _started(name: str, start: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    try:
        return start(*arguments, **named)
    except Exception as error:  # not logged in, no server, a version that does not go with transformers...
        way = f", or set {OFFLINE[name]} to write on this machine alone" if name in OFFLINE else ""
        raise ConfigError(
            f"`report.to` names {name}, which could not be started: {first_line(error)}",
            f"See to its login or server{way}, or leave it out of `report.to`.",
        ) from None
