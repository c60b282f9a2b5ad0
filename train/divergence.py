"""When is a loss that is still a number a lost run? A rule that lets spikes, tiny batches and hard rows pass.

Axolotl's watchdog wants an absolute threshold from the user (its example is 5.0 for 3 steps). Here the scale is what
is known of every run: ln(vocabulary), the loss of a model that knows nothing. With 32,000 tokens it is 10.4, so the
limit is 3.5 nats above the run's own best: a run at 1.2 that sits at 4.7.
"""

import math
from collections import deque
from statistics import median
from typing import Deque, Optional

WINDOW = 50  # updates; a spike, and a row that nobody could learn, are a small part of it
FIRST = 10  # updates before there is a best: one lucky small batch is no measure
TRIAL = FIRST + WINDOW  # updates in which the first one's loss counts; by then there is a better measure
RISE = 1 / 3  # of ln(vocabulary), above the best
ABSURD = 3.0  # times ln(vocabulary): confidently wrong about every token
ABSURD_UPDATES = 10  # that many in a row are no spike


class Divergence:
    """Watches the losses of one run; takes each once, in order, and keeps the last WINDOW of them.

    A learning rate that is far too high wrecks a run at its second update, before there is a best. The first loss is
    that of the base, for a fresh adapter changes nothing: where every one of WINDOW losses, begun within the first
    FIRST updates, lies a third of ln(vocabulary) above it, the run is lost. (Every one: of rows that differ, a later
    one would be as easy as the first.) A tiny base at 0.04 nats went to 3 so and stayed there, at rates from 0.05 on.

    A run is lost where mean and median of the last WINDOW losses both lie a third of ln(vocabulary) above the lowest
    mean that there was (the mean, since half easy and half hard rows swing the median; the median, since a few spikes
    lift the mean), or where ABSURD_UPDATES in a row are above ABSURD times ln(vocabulary), after a best well below it.
    Losses count as ABSURD times ln(vocabulary) at most, so that one spike of any height cannot decide.
    """

    def __init__(self, vocabulary: int) -> None:
        self.knows_nothing = math.log(vocabulary)
        self.best = math.inf
        self.start = math.inf  # the first loss, in the first TRIAL updates
        self._taken = 0
        self._last: Deque[float] = deque(maxlen=WINDOW)
        self._absurd = 0

    @property
    def limit(self) -> float:
        """The loss above which an update is suspicious; infinite until there is a loss."""
        return min(self.best, self.start) + RISE * self.knows_nothing

    def take(self, loss: float) -> Optional[str]:
        """Take in the loss of an update, in nats a token; None, or in words why the run is lost."""
        ceiling = ABSURD * self.knows_nothing
        self._taken += 1
        if self._taken == 1:
            self.start = min(loss, ceiling)
        elif self._taken > TRIAL:
            self.start = math.inf
        self._absurd = self._absurd + 1 if loss > ceiling > self.limit else 0
        self._last.append(min(loss, ceiling))
        if len(self._last) < FIRST:
            return None
        mean = sum(self._last) / len(self._last)
        if self._absurd >= ABSURD_UPDATES:
            return (
                f"was above {ceiling:.1f}, three times that of a model that knows nothing, for "
                f"{ABSURD_UPDATES} updates in a row"
            )
        if len(self._last) == WINDOW and min(self._last) > self.start + RISE * self.knows_nothing:
            return (
                f"was {min(self._last):.2f} or more in each of the last {WINDOW} updates, and {self.start:.2f} in the "
                "first, when the adapter had changed nothing yet"
            )
        if (
            len(self._last) == WINDOW
            and min(mean, median(self._last)) > self.best + RISE * self.knows_nothing
        ):
            return f"was {mean:.2f} on average over {WINDOW} updates, after {self.best:.2f} at its best"
        self.best = min(self.best, mean)
        return None
