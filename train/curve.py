"""The loss curve as a picture."""

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from envdoc.train.chart import Series, chart

SMOOTHING = 0.9  # weight of the past in the moving average
PNG, SVG = "loss.png", "loss.svg"
SVG_STYLE = (
    "svg { background: #ffffff; font: 12px system-ui, sans-serif } .a, .b { fill: none }"
    " .a { stroke: #0550ae; stroke-opacity: .35 } .b { stroke: #0550ae; stroke-width: 2 }"
    " .dot { fill: #0550ae } .grid { stroke: #d1d9e0 } .axis { fill: #57606a }"
    " .hover { fill: none; pointer-events: all }"
    " @media (prefers-color-scheme: dark) { svg { background: #0d1117 }"
    " .a, .b { stroke: #79c0ff } .dot { fill: #79c0ff }"
    " .grid { stroke: #30363d } .axis { fill: #9198a1 } }"
)


def draw(losses: Sequence[Tuple[int, float]], folder: Path, title: str) -> Tuple[Optional[Path], str]:
    """Write the curve into `folder`: as PNG, or as SVG where matplotlib is missing, which is no need of training.

    The file, or None; and what is to be said about it, "" where nothing is.
    """
    try:
        import matplotlib

        matplotlib.use("Agg")  # no display on a rented machine
        from matplotlib import pyplot
    except ImportError as error:
        missing = f"matplotlib is not installed in this environment ({error}), so it is drawn as SVG"
        return _draw_svg(losses, folder / SVG, missing)
    path = folder / PNG
    figure, axes = pyplot.subplots(figsize=(7, 4), dpi=120)
    steps, values = [step for step, _ in losses], [loss for _, loss in losses]
    axes.plot(steps, values, alpha=0.4, linewidth=1, label="loss of each update")
    axes.plot(steps, smooth(values), linewidth=2, label="moving average")
    axes.set(xlabel="update", ylabel="loss (nats a token)", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    try:
        figure.savefig(str(path))
    except OSError as error:
        return None, f"`{path}` cannot be written: {error.strerror}"
    finally:
        pyplot.close(figure)
    return path, ""


def _draw_svg(losses: Sequence[Tuple[int, float]], path: Path, note: str) -> Tuple[Optional[Path], str]:
    averages = list(zip([step for step, _ in losses], smooth([loss for _, loss in losses])))
    lines = [Series("loss of each update", losses, "a"), Series("moving average", averages, "b")]
    drawn = chart(lines, [], "nats a token").replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="760" height="300" ', 1
    )
    drawn = drawn.replace(">", f"><style>{SVG_STYLE}</style>", 1)
    try:
        path.write_text(drawn, encoding="utf-8")
    except OSError as error:
        return None, f"`{path}` cannot be written: {error.strerror}"
    return path, note


def smooth(values: Sequence[float]) -> List[float]:
    """The exponential moving average, without the pull towards zero at its start."""
    averages: List[float] = []
    past, weight = 0.0, 0.0
    for value in values:
        past = SMOOTHING * past + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        averages.append(past / weight)
    return averages
