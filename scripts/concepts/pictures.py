"""The pictures of docs/concepts, drawn from what was measured."""

from pathlib import Path
from typing import Any, Dict, Tuple

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

matplotlib.rcParams.update({"svg.hashsalt": "envdoc", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
STYLES = ("o-", "s-", "^-", "d--", "o--", "s--")
GIB = 2**30


def int8(measured: Dict[str, Any], folder: Path) -> None:
    """Error of a product against the size of its outliers, one line a way to round."""
    figure, axes = _axes()
    for (name, errors), style in zip(measured["error"].items(), STYLES):
        axes.plot([int(size) for size in errors], list(errors.values()), style, label=name, markersize=4)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="size of the outliers (times the other activations)",
        ylabel="error, as a share of what the others give",
        title=f"A product in 8 bits, 6 of 1,024 features outliers ({measured['versions']['device']})",
    )
    axes.legend()
    _save(figure, folder / "int8-outliers.svg")


def memory(measured: Dict[str, Any], folder: Path) -> None:
    """Stacked bars: what each run's memory holds at its peak."""
    figure, axes = _axes()
    runs = measured["runs"][::-1]
    names = [run["name"] for run in runs]
    left = [0.0] * len(runs)
    parts = (
        ("weights of the base", "weights_bytes", "#4472a8"),
        ("adapter, its gradients and optimizer", "adapter_bytes", "#d0602f"),
        ("kept for the backward pass", "activations_bytes", "#7fb27f"),
    )
    for label, key, colour in parts:
        sizes = [run[key] / GIB for run in runs]
        axes.barh(names, sizes, left=left, label=label, color=colour)
        left = [before + size for before, size in zip(left, sizes)]
    rest = [max(0.0, run["peak_bytes"] / GIB - before) for run, before in zip(runs, left)]
    axes.barh(names, rest, left=left, label="logits and what passes by at the peak", color="#c9c9c9")
    shape = measured["shape"]
    axes.set(
        xlabel="GiB at the peak of an update",
        title=f"A 1B-shaped Llama, {shape['rows']} x {shape['length']} tokens, on {measured['versions']['device']}",
    )
    axes.legend(fontsize=8)
    _save(figure, folder / "memory-switches.svg")


def precision(measured: Dict[str, Any], folder: Path) -> None:
    """A weight that small updates move, and gradients that are stored."""
    figure, axes = _axes()
    every = measured["updates"]["every"]
    for (name, path), style in zip(measured["updates"]["weight"].items(), ("-", "--", ":", "-.")):
        axes.plot([every * place for place in range(len(path))], path, style, label=name, linewidth=2)
    axes.set(
        xlabel="updates of 0.0001", ylabel="the weight", title="A weight of 1, moved a little 2,000 times"
    )
    axes.legend()
    _save(figure, folder / "precision-updates.svg")

    figure, axes = _axes()
    gradients = dict(measured["gradients"])
    exponents = gradients.pop("exponent")
    for (name, left), style in zip(gradients.items(), ("o-", "s-", "^--")):
        axes.plot(exponents, left, style, label=name, markersize=3)
    axes.set(
        xlabel="gradient (power of two)",
        ylabel="what is left of it after storing",
        title="Small gradients in 16 bits",
    )
    axes.legend()
    _save(figure, folder / "precision-gradients.svg")


def ranks(measured: Dict[str, Any], folder: Path) -> None:
    """The loss of each rank, as a moving average."""
    figure, axes = _axes()
    for run in measured["runs"]:
        size = f"{run['bytes'] / 1000:,.0f} kB"
        axes.plot(_smooth(run["losses"]), label=f"r = {run['rank']}  ({size})")
    axes.set(
        xlabel="update",
        ylabel="loss (nats a token)",
        title="The tiny model of envdoc, 118 rows, the same seed at each rank",
    )
    axes.legend()
    _save(figure, folder / "lora-ranks.svg")


def _smooth(values: Any, weight: float = 0.9) -> Any:
    past, averages = values[0], []
    for value in values:
        past = weight * past + (1 - weight) * value
        averages.append(past)
    return averages


def _axes() -> Tuple[Any, Any]:
    return pyplot.subplots(figsize=(7, 4))


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    figure.savefig(str(path), metadata={"Date": None})
    pyplot.close(figure)
