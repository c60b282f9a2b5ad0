"""Rows to arrays of tokens, in one process or several; the result is the same, in the order of the rows."""

import collections
import ctypes
import gc
import multiprocessing
import os
import signal
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Callable, Collection, Counter, Deque, Iterator, List, Sequence, Union

import numpy

from envdoc.train.data import Row
from envdoc.train.errors import DataError
from envdoc.train.progress import say
from envdoc.train.turns import MASKED

PART_ROWS = 1000
PAYS_FROM_ROWS = 20_000  # some seconds of work: below, starting processes costs more than it saves
MOST_WORKERS = 16  # the one that writes keeps up with about as many
SAY_EVERY_SECONDS = 15.0
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


@dataclass(frozen=True)
class Part:
    """Some rows encoded, laid end to end, and what is to be told of them."""

    numbers: numpy.ndarray  # int64, one a row
    lengths: numpy.ndarray  # int32, one a row
    ids: numpy.ndarray  # int32, all tokens
    learnt: numpy.ndarray  # uint8, 1 where the token is its own label
    dropped: List[int]
    cut: List[int]
    last_only: int  # rows of which only the last answer is learnt
    ends: Counter[int]  # the token that ends the last answer of how many rows


class PartMaker:
    """Collects the rows of a part."""

    def __init__(self) -> None:
        self.numbers: List[int] = []
        self.lengths: List[int] = []
        self.ids: List[int] = []
        self.learnt = bytearray()
        self.dropped: List[int] = []
        self.cut: List[int] = []
        self.last_only = 0
        self.ends: Counter[int] = collections.Counter()

    def add(self, number: int, ids: Sequence[int], labels: Sequence[int]) -> None:
        """One row; each label is its token's id or MASKED."""
        self.numbers.append(number)
        self.lengths.append(len(ids))
        self.ids += ids
        self.learnt += bytes(label != MASKED for label in labels)

    def made(self) -> Part:
        """The part."""
        return Part(
            numpy.array(self.numbers, dtype=numpy.int64),
            numpy.array(self.lengths, dtype=numpy.int32),
            numpy.array(self.ids, dtype=numpy.int32),
            numpy.frombuffer(bytes(self.learnt), dtype=numpy.uint8),
            self.dropped,
            self.cut,
            self.last_only,
            self.ends,
        )


class Told:
    """What is to be told of all parts together."""

    def __init__(self) -> None:
        self.dropped: List[int] = []
        self.cut: List[int] = []
        self.last_only = 0
        self.ends: Counter[int] = collections.Counter()

    def add(self, part: Part) -> None:
        """One part more."""
        self.dropped += part.dropped
        self.cut += part.cut
        self.last_only += part.last_only
        self.ends.update(part.ends)


Work = Callable[[Sequence[Row]], Part]


def parts(rows: Collection[Row], work: Work, workers: Union[int, str] = "auto") -> Iterator[Part]:
    """Every row through `work`, PART_ROWS at a time, in order; few parts are in memory at once.

    Raises what `work` raises for the first part in which it does.
    """
    count = len(rows)
    if isinstance(workers, str):  # auto
        workers = min(_cores(), MOST_WORKERS) if count >= PAYS_FROM_ROWS else 1
    if workers > 1 and "fork" in multiprocessing.get_all_start_methods():
        made = _in_processes(_cut(rows), work, workers)
    else:
        made = map(work, _cut(rows))
    done, since = 0, time.monotonic()
    for part in made:
        yield part
        done += PART_ROWS
        if time.monotonic() - since > SAY_EVERY_SECONDS and done < count:
            say(f"Encoded {done:,} of {count:,} rows ...")
            since = time.monotonic()


def _in_processes(cut: Iterator[List[Row]], work: Work, workers: int) -> Iterator[Part]:
    """By fork, so that tokenizers with a model's own code need no second loading; TOKENIZERS_PARALLELISM is off.

    An executor and not a Pool: where the system kills a worker for its memory, a Pool waits for ever.
    """
    global _work
    _work = work  # what a fork sees is not pickled
    waiting: Deque[Future[Part]] = collections.deque()
    sys.stdout.flush()  # else each child would write the buffer out again
    sys.stderr.flush()
    try:
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("fork"), _begin_worker, (os.getpid(),)
        ) as pool:
            try:
                for rows in cut:
                    waiting.append(pool.submit(_do, rows))
                    if len(waiting) > 2 * workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    except BrokenProcessPool:
        raise DataError(
            "A process that encoded rows was ended from outside, most likely for want of memory.",
            "Start again; `taskset -c 0 envdoc train ...` encodes in one process.",
        ) from None


_work: Work


def _do(rows: List[Row]) -> Part:
    return _work(rows)


def _begin_worker(parent: int) -> None:
    """Ctrl-C is the parent's to hear; and where it is killed, its workers go with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    gc.freeze()  # a collection that went over the parent's rows would copy every page of them


def _cut(rows: Collection[Row]) -> Iterator[List[Row]]:
    part: List[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == PART_ROWS:
            yield part
            part = []
    if part:
        yield part


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1
