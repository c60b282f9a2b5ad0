"""What is known of each update, judged and written down in order, as soon as all of it is there.

On a GPU that is one update later (on_the_way.py). Where somebody is about to read it, or the adapter is about to be
saved, it is waited for: `settle`.
"""

import math
from typing import Any, Dict, Mapping, Optional, Tuple

from envdoc.train.events import Events
from envdoc.train.guard import Guard
from envdoc.train.history import History
from envdoc.train.on_the_way import Gradient, Instant
from envdoc.train.progress import Progress


class Entries:
    """Of one run. At most one update is kept back."""

    def __init__(self, history: History, events: Events, guard: Guard, progress: Progress) -> None:
        self.history, self.events, self.guard, self.progress = history, events, guard, progress
        self._kept: Optional[Tuple[Dict[str, Any], Gradient, Instant, Instant]] = None

    def take(self, entry: Mapping[str, Any], gradient: Gradient, begun: Instant, done: Instant) -> None:
        """An update that was taken, but for its `grad_norm` and its seconds. Raises Diverged, as all here."""
        self.settle()
        self._kept = dict(entry), gradient, begun, done
        self.settle_if_there()

    def settle_if_there(self) -> None:
        """Write down what is kept back, if nobody has to wait for it."""
        if self._kept is not None and self._kept[3].is_there():
            self.settle()

    def settle(self) -> None:
        """Wait for what is kept back, judge its gradient, write it down and say it. Raises Diverged."""
        if self._kept is None:
            return
        (entry, gradient, begun, done), self._kept = self._kept, None
        self.guard.judge_gradient(entry["loss"], gradient)
        norm = gradient.norm()
        # JSON has no infinity; with fp16 one means that loss scaling skips the update
        entry.update(grad_norm=norm if math.isfinite(norm) else None, seconds=done.since(begun))
        self.history.append(entry)
        self.events.write("step", **entry)
        self.progress.step(
            entry["step"], entry["loss"], entry["learning_rate"], entry["tokens"] / entry["seconds"]
        )
