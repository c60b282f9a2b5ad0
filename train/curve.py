"""The loss curve as a picture."""

from pathlib import Path
from typing import List, Optional, Sequence, Tuple

SMOOTHING = 0.9  # weight of the past in the moving average


def draw(losses: Sequence[Tuple[int, float]], path: Path, title: str) -> Optional[str]:
    """Write the curve as PNG; None, or the reason why there is none (matplotlib is no need of training)."""
    try:
        import matplotlib

        matplotlib.use("Agg")  # no display on a rented machine
        from matplotlib import pyplot
    except ImportError as error:
        return f"matplotlib is not installed in this environment ({error})"
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
        return f"`{path}` cannot be written: {error.strerror}"
    finally:
        pyplot.close(figure)
    return None


def smooth(values: Sequence[float]) -> List[float]:
    """The exponential moving average, without the pull towards zero at its start."""
    averages: List[float] = []
    past, weight = 0.0, 0.0
    for value in values:
        past = SMOOTHING * past + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        averages.append(past / weight)
    return averages
