"""What launchers, loggers and containers put before a line, taken off again; the rank it names is kept.

A prefix may stand before a prefix (Kubernetes before torchrun before a logger), so that they are taken off one by one.
Every pattern is anchored at the line's beginning and bounded.
"""

import json
import re
from typing import List, NamedTuple, Tuple

_MOST_PREFIXES = 6


class Bare(NamedTuple):
    """A line without its prefixes. `rank` tells interleaved processes apart; empty where nothing does."""

    text: str
    rank: str = ""
    is_error: bool = False  # a logger called it an error


_TIME = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_LEVEL = r"(?:TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|CRITICAL|FATAL|SEVERE)"
_RANK = (
    r"\[rank[: ]?(\d{1,5})\]:? ?",  # torch and lightning
    r"\[default(\d{1,5})\]:? ?",  # torchrun --tee
    r"\[(\d{1,5},\d{1,5})\]<std(?:err|out)>: ?",  # mpirun --tag-output
    r"(\d{1,4}): (?=\S| {2})",  # srun --label
    r"((?:worker|node|host|gpu)-?\d{1,4}): ",  # pdsh under deepspeed
    r"\((?:[A-Za-z]\w{0,60} )?(?:pid=|PID )(\d{1,9})(?:, ip=[\d.]{7,15})?\) ?",  # Ray, vLLM
    r"\[rank ?(\d{1,5})\] ",
    r"rank ?(\d{1,5}): ",
)
_OTHER = (
    rf"\[?{_TIME}\]?(?: [+-]\d{{4}})?[ ,:|\t-]{{0,4}}",
    r"\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? (?=\S)",  # vLLM
    r"\[?\d\d:\d\d:\d\d(?:[.,]\d{1,6})?\]?[ \t-]{1,4}(?=\S)",
    r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d [\w.-]{1,64} [\w./@-]{1,64}(?:\[\d{1,9}\])?: ",  # syslog
    r"[EWIF]\d{4} \d\d:\d\d:\d\d\.\d{1,9}[ \t]{1,8}\d{1,9}[ \t][\w./ -]{1,120}:\d{1,6}\] ",  # glog, torch's loggers
    r"\[?[EWIF]\d{6} \d\d:\d\d:\d\d\.\d{1,9} [\w./-]{1,120}:\d{1,6}\] ",
    r"\[[\w./-]{1,80}:\d{1,6}(?::[\w<>.]{1,80})?\] ",  # [file.py:12:function]
    r"[\w./-]{1,80}\.(?:py|cc|cpp|cu):\d{1,6}\] ",
    r"\[?(?:pid|PID)[ :=]?\d{1,9}\]?:? ",
    r" ?[a-z_][\w.]{1,80}:[\w<>]{1,60}:\d{1,6} - (?=\S)",  # loguru
    r"[\w.-]{1,60}-\d{1,3}  ?\| ",  # docker compose
    r"\[pod/[\w./-]{1,160}\] ",
    r"std(?:out|err) [FP] ",  # a container's log under Kubernetes
    r"##\[error\]",  # GitHub's runners
    r"(?:E {3}|> )(?=\S)",  # pytest, a quotation
    r"[\u2502|] (?=\S| )",  # the left side of a rich traceback
    r"[\u2022\u25cf] ",
    r"In file included from (?=\S)\Z",
)
_NAME = r"[a-z_][\w.]{1,80}(?::[\w<>]{1,60})?(?::\d{1,6})?"
_LEVELS = (
    rf"\[?({_LEVEL})\]?(?=[\s:|\-])[ :|\t-]{{1,5}}(?:(?:{_NAME})(?: - | ?[:|] |:(?=[A-Z])))?",
    rf"[a-z_][\w.]{{1,80}}(?::[\w<>]{{1,60}}:\d{{1,6}})? - ({_LEVEL}) - ",
)
_BAR = re.compile(r"[^|]{0,120}\d{1,3}%\|[^|\n]{0,200}\|[^\[\n]{0,60}\[[^\]\n]{0,80}\]\s{0,4}(?=\S)")
_ranks = tuple(re.compile(pattern) for pattern in _RANK)
_others = tuple(re.compile(pattern) for pattern in _OTHER)
_levels = tuple(re.compile(pattern) for pattern in _LEVELS)
_FIRST = re.compile(
    r"[\[(\dA-Z>#|\u2502\u2022\u25cf]|\w{1,60}[.-]\w|std|rank|worker|node|host|gpu|pid|E {3}|[a-z_.]+ - "
    r"| ?[a-z_][\w.]{1,80}:[\w<>]{1,60}:\d"
)


def bare(line: str) -> Bare:
    """The line without prefixes, progress bar and the right side of a box."""
    rank, is_error = "", False
    for _ in range(_MOST_PREFIXES):
        if not _FIRST.match(line):
            break
        cut, found, level = _prefix(line)
        if not cut:
            break
        rank = rank or found
        is_error = is_error or level in ("ERROR", "CRITICAL", "FATAL", "SEVERE")
        line = line[cut:]
    if "%|" in line:
        line = _BAR.sub("", line, count=1) if _BAR.match(line) else line
    if line.endswith(("\u2502", " |")):
        line = line.rstrip("\u2502|").rstrip()
    return Bare(line, rank, is_error)


def _prefix(line: str) -> Tuple[int, str, str]:
    for pattern in _ranks:
        match = pattern.match(line)
        if match:
            return match.end(), match.group(1), ""
    for pattern in _levels:
        match = pattern.match(line)
        if match:
            return match.end(), "", match.group(1)
    for pattern in _others:
        match = pattern.match(line)
        if match and match.end():
            return match.end(), "", ""
    return 0, "", ""


def unpacked(line: str) -> List[str]:
    """The lines inside a line: a container's JSON, a notebook's list of strings, a traceback with written-out \\n."""
    text = line.strip()
    if text.startswith("{") and text.endswith("}"):
        try:
            row = json.loads(text)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict):
            said = next(
                (row[key] for key in ("log", "message", "msg", "text") if isinstance(row.get(key), str)), None
            )
            if said is not None:
                return said.splitlines() or [""]
    if text.startswith('"') and text.endswith(('"', '",')) and len(text) > 2:
        try:
            said = json.loads(text.rstrip(","))
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, str):
            return said.splitlines() or [""]
    if "\\n" in line and ("Traceback (most" in line or "\\n  File " in line or "Error: " in line):
        return line.replace("\\n", "\n").split("\n")
    return [line]
