"""Which lines of a log decide: the root of the last chain of exceptions, not the wrapper around it and not Ctrl-C.

A launcher's ChildFailedError, a spawn's ProcessRaisedException or "Failed to import X because of the following error"
say that something failed; what failed stands before. Each process's lines are read by themselves.
"""

import re
from enum import IntEnum
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from envdoc.doctor.why.reading import Line


class Role(IntEnum):
    """What a line is in its log, the weightier the higher."""

    PLAIN = 0
    WARNING = 1
    ERROR = 2  # a line of an error that is not the decisive one
    DECISIVE = 3


class Failure(NamedTuple):
    """One exception: where its own words begin and end (line indexes), and whether it only passes on another."""

    start: int
    end: int  # exclusive
    name: str
    is_wrapper: bool
    chain: int  # exceptions of one chain share a number


_EXCEPTION = re.compile(
    r"(?:[A-Za-z_][\w.]{0,120}\.)?((?:[A-Z_a-z]\w{0,80})?(?:Error|Exception|Interrupt|Exit|Killed|Timeout|OutOfMemory\w{0,8}|Failed"
    r"|TooOldForTriton|Fault|Raised|Unsupported))(?:\([A-Z]\w{0,60}\))?(?::|$| \()"
)
_HEADER = "Traceback (most recent call last)"
_CAUSED = "direct cause of the following exception"
_HANDLING = "During handling of the above exception"
_WRAPPERS = re.compile(
    r"ChildFailedError|ProcessRaisedException|ProcessExitedException|CalledProcessError|RayTaskError|SystemExit|TuneError"
    r"|BrokenProcessPool|KeyboardInterrupt|WorkerCrashedError|SpawnException|MultiprocessingError|WebhookError"
)
_WRAPPING_WORDS = re.compile(
    r"because of the following error|look up to see its traceback|See (?:the )?(?:root cause|stack trace|above)"
    r"|Engine (?:core )?(?:process )?(?:initialization )?failed|Caught \w{1,60} in (?:DataLoader|replica)"
    r"|exited unexpectedly|Could not import module '[\w.]{1,80}'\. Are this object's requirements"
    r"|raise RuntimeError from|subprocess-exited-with-error|metadata-generation-failed|Failed to build \w"
)
_INTERRUPTED = re.compile(
    r"KeyboardInterrupt|SignalException|SIGINT|Received \d{1,2} death signal|ncclInternalAbort"
)
_ERROR_WORDS = re.compile(
    r"\b(?:error|fatal|failed|failure|undefined symbol|cannot|could not|killed|aborted|segmentation fault|not found"
    r"|not supported|no such file|assertion|core dumped|denied|refused|unable to|exception|no module named)\b",
    re.IGNORECASE,
)
_WARNING_WORDS = re.compile(r"warn(?:ing)?\b|deprecat|\bnote\b|\bhint\b", re.IGNORECASE)
_FRAME = re.compile(r"\s|File \"|-{2,}>|\^|\u2570|\u256d|\[?(?:INFO|WARNING)\b")
_MESSAGE_LINES = 40  # an exception's own words at most


def roles(lines: Sequence[Line]) -> List[Role]:
    """The role of each line."""
    found = [_plain_role(line) for line in lines]
    failures = _failures(lines)
    for failure in failures:
        for index in range(failure.start, failure.end):
            found[index] = max(found[index], Role.ERROR)
    for failure in _deciding(failures):
        for index in range(failure.start, failure.end):
            found[index] = Role.DECISIVE
    return found


def decisive_text(lines: Sequence[Line]) -> str:
    """The words of the decisive error, one line; empty where the log has none."""
    chosen = _deciding(_failures(lines))
    if not chosen:
        return ""
    return " ".join(line.text.strip() for line in lines[chosen[0].start : chosen[0].end] if line.text.strip())


def _plain_role(line: Line) -> Role:
    if line.is_error:
        return Role.ERROR
    if _WARNING_WORDS.search(line.text):
        return Role.WARNING
    return Role.ERROR if _ERROR_WORDS.search(line.text) else Role.PLAIN


def _failures(lines: Sequence[Line]) -> List[Failure]:
    """Every exception of every process, in the log's order."""
    by_rank: Dict[str, List[int]] = {}
    for index, line in enumerate(lines):
        by_rank.setdefault(line.rank, []).append(index)
    found: List[Failure] = []
    for number, indexes in enumerate(by_rank.values()):
        found += _of_process(lines, indexes, number * 100_000)
    return sorted(found)


def _of_process(lines: Sequence[Line], indexes: Sequence[int], chain: int) -> List[Failure]:
    found: List[Failure] = []
    linked = False  # the next exception belongs to the chain of the last
    for place, index in enumerate(indexes):
        text = lines[index].text
        if _CAUSED in text or _HANDLING in text:
            linked = True
            continue
        match = _EXCEPTION.match(text.strip()) if text[:1] not in (" ", "\t") or not found else None
        if match is None:
            continue
        if not linked:
            chain += 1
        linked = False
        end = _end(lines, indexes, place)
        words = " ".join(lines[i].text for i in indexes[place : place + 3])
        wraps = bool(_WRAPPERS.search(match.group(1)) or _WRAPPING_WORDS.search(words))
        found.append(Failure(index, end, match.group(1), wraps, chain))
    return found


def _end(lines: Sequence[Line], indexes: Sequence[int], place: int) -> int:
    """The index after the last line of the exception's own words."""
    last = indexes[place]
    for index in indexes[place + 1 : place + _MESSAGE_LINES]:
        text = lines[index].text
        if index != last + 1 or not text.strip() or _HEADER in text or _CAUSED in text or _HANDLING in text:
            break
        if _EXCEPTION.match(text) or text.startswith("  File "):
            break
        last = index
    return last + 1


def _deciding(failures: Sequence[Failure]) -> List[Failure]:
    """The exceptions of the last chain that is no wrapper's and no interruption's, its root first.

    Where only wrappers are left none decides: the lines around them do.
    """
    real = [one for one in failures if not one.is_wrapper and not _INTERRUPTED.search(one.name)]
    if not real:
        return []
    last = _last_chain(real)
    return [one for one in real if one.chain == last]


def _last_chain(real: Sequence[Failure]) -> int:
    """The chain of the last process to speak may follow from another's: the first failure of that kind is the one.

    Ranks die one after the other, and those that waited for the first say only that it is gone.
    """
    follows = re.compile(r"Connection|Distributed|Broken|EOF|Timeout|Dist")
    candidates = [one for one in real if not follows.search(one.name)] or list(real)
    return candidates[-1].chain


def root_line(lines: Sequence[Line]) -> Optional[Tuple[int, str]]:
    """Number in the log and text of the decisive error's first line."""
    chosen = _deciding(_failures(lines))
    return (lines[chosen[0].start].number, lines[chosen[0].start].text.strip()) if chosen else None
