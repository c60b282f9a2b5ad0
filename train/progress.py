"""What is said while it trains: one moving line on a terminal, plain lines elsewhere. Everything on stderr."""

import os
import sys
import time
from typing import Any, Optional, TextIO


class Progress:
    """Steps, loss, speed and time left."""

    def __init__(self, log_every: int) -> None:
        self.log_every, self.total = log_every, 0
        self.bar: Optional[Any] = None

    def start(self, done: int, total: int) -> None:
        """Begin at update `done` of `total`."""
        self.total, self.done_at_start, self.started = total, done, time.monotonic()
        if moves(sys.stderr):
            from tqdm import tqdm

            self.bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, file=sys.stderr)

    def is_said(self, step: int) -> bool:
        """Whether this update has a line."""
        return step % self.log_every == 0 or step in (1, self.total)

    def step(self, step: int, loss: float, learning_rate: float, tokens_per_second: float) -> None:
        """One update is done."""
        total = self.total
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {loss:.4f}, {tokens_per_second:,.0f} tokens/s", refresh=False)
            self.bar.update(1)
        if not self.is_said(step):
            return
        seconds = (time.monotonic() - self.started) / max(1, step - self.done_at_start) * (total - step)
        line = (
            f"step {step:>{len(str(total))}}/{total}  loss {loss:.4f}  learning rate {learning_rate:.2e}  "
            f"{tokens_per_second:,.0f} tokens/s  {_clock(seconds)} left"
        )
        if self.bar is not None:
            self.bar.write(line, file=sys.stderr)
        else:
            say(line)

    def stop(self) -> None:
        """Leave the line as it is."""
        if self.bar is not None:
            self.bar.close()


def moves(stream: TextIO) -> bool:
    """Whether a line there can be written over: a terminal, and none that calls itself dumb (Emacs, some CI)."""
    return stream.isatty() and os.environ.get("TERM", "") != "dumb"


def say(line: str) -> None:
    """A line of progress, at once."""
    print(line, file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


def duration(seconds: float) -> str:
    """A time as people say it, with no more digits than an estimate has."""
    if seconds < 90:
        return f"{seconds:.2g} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
