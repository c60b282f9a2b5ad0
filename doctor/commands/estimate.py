"""`envdoc estimate`: memory, time and price of a run before it starts, for the GPU here or one to be rented.

Handed off to the pipeline: in the target where that can count tokens and try the GPU, else in the interpreter that runs
envdoc, which needs nothing for the closed form.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional

import typer

from envdoc.doctor.commands.check import PYTHON
from envdoc.doctor.commands.in_place import use_settings
from envdoc.doctor.commands.output import announce
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.home import home
from envdoc.doctor.target import choose_target

if TYPE_CHECKING:
    from envdoc.doctor.facts.snapshot import Snapshot
    from envdoc.doctor.tables.gpu_rates import GpuModel


def register(app: typer.Typer) -> None:
    """Add this module's command to the application."""
    app.command()(estimate)


def estimate(
    run: Optional[List[str]] = typer.Argument(
        None, metavar="[RUN.yaml] [key=value ...]", help="A run file, and keys that replace its values."
    ),
    gpu: Optional[str] = typer.Option(
        None, "--gpu", metavar="NAME", help="For that GPU, not for the one here: 4090, a100-80gb, h200."
    ),
    price_per_hour: Optional[float] = typer.Option(
        None, "--price-per-hour", metavar="X", help="What it costs, to tell the price of the run."
    ),
    as_json: bool = typer.Option(False, "--json", help="One JSON document (docs/estimate.md)."),
    probe: bool = typer.Option(
        True, "--probe/--no-probe", help="Try the configuration where the GPU is here, or leave that."
    ),
    python: Optional[str] = PYTHON,
) -> None:
    """Tell peak GPU memory, tokens a second, hours and price before anything is rented or loaded."""
    from envdoc.doctor.commands.train import run_file
    from envdoc.doctor.handoff import launch

    config, overrides = run_file(run or [])
    if price_per_hour is not None and not 0 <= price_per_hour < 1e6:
        raise EnvdocError(f"`--price-per-hour` is {price_per_hour:g}, which is no price.")
    named = _named(gpu) if gpu is not None else None
    use_settings()
    snapshot = _snapshot(python)
    told = named or (_here(snapshot) if snapshot else None)
    interpreter = snapshot.interpreter.path if snapshot and _can_count(snapshot) else sys.executable
    arguments = ["estimate", "--format", "json" if as_json else "text"]
    arguments += ["--config", config] if config else []
    arguments += ["--price-per-hour", repr(price_per_hour)] if price_per_hour is not None else []
    arguments += [] if probe else ["--no-probe"]
    with tempfile.TemporaryDirectory(prefix="envdoc-") as folder:
        if told is not None:
            file = Path(folder) / "gpu.json"
            file.write_text(json.dumps(told), encoding="utf-8")
            arguments += ["--gpu", str(file)]
        raise typer.Exit(launch(interpreter, arguments + overrides, hide_gpus=named is not None))


def _named(text: str) -> Dict[str, Any]:
    """The GPU of that name. Raises EnvdocError with the nearest ones where the table has none."""
    from envdoc.doctor.tables.gpu_asked import asked_gpu, nearest

    model = asked_gpu(text)
    if model is None:
        near = nearest(text)
        raise EnvdocError(
            f"No GPU called `{text}` is in envdoc's table.",
            f"Near: {', '.join(near)}. The memory may be said with it: `--gpu a100-80gb`." if near else None,
        )
    return {"name": model.name, "memory_bytes": int(model.memory_gb * 2**30), **_rates(model)}


def _here(snapshot: "Snapshot") -> Optional[Dict[str, Any]]:
    """The first GPU of this machine, as torch would count them; None without one."""
    from envdoc.doctor.tables.gpu_rates import gpu_model

    if not snapshot.gpus or not snapshot.gpus[0].memory_bytes:
        return None
    gpu = snapshot.gpus[0]
    model = gpu_model(gpu.name)
    told: Dict[str, Any] = {"name": gpu.name, "memory_bytes": gpu.memory_bytes, "here": True}
    return {**told, "used_bytes": gpu.memory_used_bytes or 0, **(_rates(model) if model else {})}


def _rates(model: "GpuModel") -> Dict[str, Any]:
    rate = model.flops_per_second.get("bfloat16", model.flops_per_second.get("float16"))
    return {
        "flops_per_second": rate,
        "source": model.source,
        "has_bf16": "bfloat16" in model.flops_per_second,
    }


def _snapshot(python: Optional[str]) -> Optional["Snapshot"]:
    """What is in the target; None where there is no Python to look at and none was named."""
    from envdoc.doctor.facts.collect import collect

    try:
        return collect(choose_target(python, os.environ, home()), quick=True)
    except EnvdocError:
        if python is not None:
            raise
        return None


def _can_count(snapshot: "Snapshot") -> bool:
    """Whether the target has what counts tokens; where not, that is said."""
    from envdoc.doctor.commands.preflight import NEEDED

    missing = [name for name in NEEDED if snapshot.interpreter.error or snapshot.package(name) is None]
    if missing:
        announce(
            f"Estimated without a training environment: {snapshot.interpreter.path} has no {missing[0]}."
        )
    return not missing
