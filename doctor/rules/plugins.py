"""Rules from other packages, found through the entry-point group `envdoc.rules`.

An entry point names a module. Importing it registers its rules with `@rule("ACM001")`, and its `messages` is a
mapping from code to the keys of a message (rules/messages/__init__.py). Its codes have three letters of their own, so
that they never meet ours. One that is broken is left out, told, and ends nothing. docs/plugins.md has an example.
"""

import os
import re
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, Tuple

from envdoc.doctor.files import read_bytes
from envdoc.doctor.finding import Kind, Severity
from envdoc.doctor.rules import registry
from envdoc.doctor.rules.messages import Message

GROUP = "envdoc.rules"


@dataclass(frozen=True)
class Plugins:
    """The words of the rules that were added, the packages that brought them, and what was left out and why."""

    words: Dict[str, Message]
    packages: Tuple[str, ...]  # "acme-rules-1.2"
    broken: Tuple[str, ...]  # a sentence each


@lru_cache(maxsize=None)
def plugins() -> Plugins:
    """Import every plug-in, once a process. The rules of envdoc itself must be registered before."""
    words: Dict[str, Message] = {}
    packages, broken = [], []
    taken = {code[:3] for code in registry._FUNCTIONS}
    for distribution in _distributions():
        before = dict(registry._FUNCTIONS)
        package = distribution.metadata["Name"]
        try:
            added: Dict[str, Message] = {}
            for entry in distribution.entry_points:
                if entry.group == GROUP:
                    added.update(_words(entry.load()))
            _judge(set(registry._FUNCTIONS) - set(before), added, taken)
        except (Exception, SystemExit) as error:  # whatever somebody else's module does when it is imported
            registry._FUNCTIONS.clear()
            registry._FUNCTIONS.update(before)
            broken.append(f"The rules of `{package}` were left out: {type(error).__name__}: {error}.")
            continue
        words.update(added)
        packages.append(f"{package}-{distribution.version}")
    return Plugins(words, tuple(packages), tuple(broken))


def _distributions() -> Iterator[Any]:
    """The installed distributions with such an entry point; asking for all of them costs 8 ms of every start."""
    seen = set()
    for folder in sys.path:
        try:
            with os.scandir(folder) as entries:
                infos = sorted(e.path for e in entries if e.name.endswith((".dist-info", ".egg-info")))
        except OSError:  # a zip file, or a folder that is not there
            continue
        for info in map(Path, infos):
            try:
                declared = GROUP.encode() in read_bytes(info / "entry_points.txt", 1 << 20)
            except OSError:
                continue
            if declared and info.name not in seen:
                from importlib.metadata import PathDistribution

                seen.add(info.name)
                yield PathDistribution(info)


def _words(module: Any) -> Dict[str, Message]:
    words: Dict[str, Message] = {}
    for code, table in module.messages.items():
        values: Dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        words[code] = Message(code=code, **values)
    return words


def _judge(codes: "set[str]", words: Dict[str, Message], taken: "set[str]") -> None:
    """Raises ValueError where rules and words do not belong together, or a code could be one of ours."""
    if codes != set(words):
        raise ValueError(
            f"the rules registered ({sorted(codes)}) are not those with a message ({sorted(words)})"
        )
    for code, message in words.items():
        if not re.fullmatch(r"[A-Z]{3}[0-9]{3}", code) or code[:3] in taken:
            raise ValueError(f"`{code}` is no code of three letters of its own and three digits")
        Severity(message.severity), Kind(message.kind)
