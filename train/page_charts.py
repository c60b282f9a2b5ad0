"""The charts of the report: loss; below it speed, learning rate and the gradient's norm, as far as they are known."""

from typing import Any, List, Sequence, Tuple

from envdoc.train.chart import Mark, Point, Series, chart
from envdoc.train.curve import smooth
from envdoc.train.record import Record

SMALL = (380, 170)


def figures(record: Record) -> List[str]:
    """A heading and the figures; nothing where no update was made."""
    steps = record.of("step")
    if not steps:
        return []
    marks = _marks(record)
    return [
        "<h2>Loss</h2>",
        _loss(steps, record.of("eval"), marks),
        '<div class="small">',
        _small("tokens a second, padding not counted", "tokens/s", _speed(steps), marks),
        _small("learning rate", "", _values(steps, "learning_rate"), marks),
        _small("norm of the gradient, before clipping", "", _values(steps, "grad_norm"), marks),
        "</div>",
    ]


def _loss(steps: Sequence[Any], judged: Sequence[Any], marks: Sequence[Mark]) -> str:
    losses = _values(steps, "loss")
    averages = list(zip([x for x, _ in losses], smooth([y for _, y in losses])))
    lines = [Series("loss", losses, "a"), Series("moving average", averages, "b")]
    keys = [("a", "loss of each update"), ("b", "moving average")]
    if judged:
        lines.append(Series("held-out loss", _values(judged, "loss"), "c"))
        lines.append(Series("held-out loss", _values(judged, "loss"), "c", dots=True))
        keys.append(("c", "held-out rows"))
    if marks:
        keys.append(("mark", "went on, or had to give way"))
    legend = "".join(f'<span class="key {style}"></span>{name}' for style, name in keys)
    return f"<figure>{chart(lines, marks, 'nats a token')}<figcaption>{legend} (nats a token)</figcaption></figure>"


def _small(title: str, unit: str, points: Sequence[Point], marks: Sequence[Mark]) -> str:
    drawn = chart([Series(title.split(",")[0], points, "b")], marks, unit, SMALL) if points else ""
    return f"<figure><figcaption>{title}</figcaption>{drawn}</figure>" if drawn else ""


def _marks(record: Record) -> List[Mark]:
    resumed = [
        Mark(
            event["step"], f"went on from update {event['step']} ({event['time'][:19].replace('T', ' ')} UTC)"
        )
        for event in record.of("resume")
    ]
    halved = [
        Mark(
            event["step"],
            f"out of memory: micro-batch {event.get('micro_batch_was')} became {event.get('micro_batch_is')}",
        )
        for event in record.of("oom")
    ]
    return [*resumed, *halved]


def _speed(steps: Sequence[Any]) -> List[Point]:
    found = [(step["step"], step["tokens"] / step["seconds"]) for step in steps if step.get("seconds")]
    return list(zip([x for x, _ in found], smooth([y for _, y in found])))


def _values(events: Sequence[Any], key: str) -> List[Tuple[float, float]]:
    """(step, value) wherever the value is a number; a NaN is written as text (events.py)."""
    return [(event["step"], event[key]) for event in events if isinstance(event.get(key), (int, float))]
