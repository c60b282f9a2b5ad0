"""Whether a condition of an advisory holds for the facts, as far as they tell: True, False or None for not told.

A condition is one of
- a requirement on a package or on Python: "numpy>=2", "python<3.9";
- one on the machine: "driver<525" (the driver's version), "driver-cuda<12" (the newest CUDA it serves), "cuda>=13"
  (torch's CUDA), "capability>=12.0" (of any GPU), "glibc<2.28";
- "os=windows", "os=linux", "os=macos" or "os=wsl"; "variable:NAME" or "variable:NAME=value";
- "script:CHECK", "model:CHECK", "adapter:CHECK": a check that found something, from the lists of those names;
- one of WORDS.
"""

import re
from functools import lru_cache
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from envdoc.doctor.advisories import told
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.torch_builds import torch_release
from envdoc.doctor.tables.versions import numbers, satisfies

_REQUIREMENT = re.compile(r"([A-Za-z][\w.-]*?)\s{0,9}([<>=!~].*)$")
_COMPARISON = re.compile(r"\s*(<=|>=|==|!=|<|>)\s*([\d.]+)\s*$")
SYSTEMS = ("windows", "linux", "macos", "wsl")
CHECKED = ("script", "model", "adapter")


class Judged(NamedTuple):
    """A condition and whether it holds; `shown` is the fact that decided, "peft 0.13.2"; empty where none did."""

    condition: str
    holds: Optional[bool]
    shown: str = ""


def holds(conditions: Iterable[str], any_of: Iterable[str], facts: Mapping[str, Any]) -> Optional[bool]:
    """Whether every one of `conditions` holds, and one of `any_of` where there are any."""
    return verdict(judged(conditions, facts), judged(any_of, facts))


def verdict(every: Iterable[Judged], any_of: Iterable[Judged]) -> Optional[bool]:
    """`holds`, of conditions that were judged."""
    answers = [one.holds for one in every]
    choices = [one.holds for one in any_of]
    if choices:
        answers.append(True if True in choices else (None if None in choices else False))
    if False in answers:
        return False
    return None if None in answers or not answers else True


def judged(conditions: Iterable[str], facts: Mapping[str, Any]) -> Tuple[Judged, ...]:
    """Each condition with its answer. Raises ValueError on one that is none."""
    return tuple(_judge(condition, facts) for condition in conditions)


def _judge(condition: str, facts: Mapping[str, Any]) -> Judged:
    if condition in WORDS:
        return Judged(condition, WORDS[condition](facts), condition.replace("-", " "))
    kind, _, rest = condition.partition(":")
    if kind == "variable" and rest:
        return Judged(condition, _variable(rest, facts), rest)
    if kind in CHECKED and rest:
        found = facts.get(kind)
        found = (
            found.get("checks") if isinstance(found, Mapping) else found
        )  # a snapshot's branch, or the names
        return Judged(condition, rest in found if isinstance(found, list) else None, f"{kind}: {rest}")
    if condition.startswith("os="):
        return Judged(condition, _system(condition[3:], facts), condition[3:])
    name, specifier = _parts(condition)
    if name in MACHINE:
        return _machine(condition, name, specifier, facts)
    known = told.versions(told.normal(name), facts)
    answers = {satisfies(version, specifier) for version in known}
    shown = f"{name} {known[0]}" if len(known) == 1 else f"{name} {_range(name, facts)}"
    return Judged(condition, answers.pop() if len(answers) == 1 else None, shown if known else "")


@lru_cache(maxsize=None)
def _parts(condition: str) -> Tuple[str, str]:
    match = _REQUIREMENT.match(condition)
    if match is None:
        raise ValueError(f"`{condition}` is neither a requirement nor one of {', '.join(sorted(WORDS))}.")
    return match.group(1), match.group(2)


def _range(name: str, facts: Mapping[str, Any]) -> str:
    return str(told.mapping(facts, "package_ranges").get(told.normal(name), ""))


def _variable(wanted: str, facts: Mapping[str, Any]) -> Optional[bool]:
    name, equals, value = wanted.partition("=")
    known, complete = told.variables(facts)
    if name not in known:
        return False if complete else None
    return str(known[name]) == value if equals else True


def _system(wanted: str, facts: Mapping[str, Any]) -> Optional[bool]:
    if wanted not in SYSTEMS:
        raise ValueError(f"`os={wanted}` is none of {', '.join(SYSTEMS)}.")
    names = told.system(facts)
    return wanted in names if names else None


def _machine(condition: str, name: str, specifier: str, facts: Mapping[str, Any]) -> Judged:
    values = [value for value in MACHINE[name](facts) if value]
    answers = [_compares(condition, value, specifier) for value in values]
    return Judged(
        condition, any(answers) if answers else None, f"{name} {', '.join(values)}" if values else ""
    )


def _compares(condition: str, value: str, specifier: str) -> bool:
    """Number by number, to the length of the shorter: driver "525" is not below 525.60."""
    found = numbers(value)
    for part in specifier.split(","):
        match = _COMPARISON.match(part)
        if match is None:
            raise ValueError(f"`{condition}` compares no version.")
        sign, bound = match.group(1), numbers(match.group(2))
        length = (
            min(len(found), len(bound)) if len(bound) <= len(found) or found == bound[: len(found)] else None
        )
        left, right = found[:length], bound[:length]
        answer = {
            "<": left < right,
            "<=": left <= right,
            ">": left > right,
            ">=": left >= right,
            "==": left == right,
            "!=": left != right,
        }[sign]
        if not answer:
            return False
    return True


def _cpu_build(facts: Mapping[str, Any]) -> Optional[bool]:
    cuda = told.torch_cuda(facts)
    return None if cuda is None else cuda == ""


def _driver_too_old(facts: Mapping[str, Any]) -> Optional[bool]:
    """By major: within one, minor-version compatibility lets an older driver serve a newer CUDA."""
    served, cuda = told.driver_cuda(facts), told.torch_cuda(facts)
    if not served or not cuda:
        return None
    return numbers(served)[:1] < numbers(cuda)[:1]


def _no_kernels(facts: Mapping[str, Any]) -> Optional[bool]:
    capabilities = told.capabilities(facts)
    release = torch_release(told.version("torch", facts) or "", told.torch_cuda(facts))
    names = told.mapping(facts, "torch").get("architectures") or (release.architectures if release else ())
    if not capabilities or not names:
        return None
    return any(not serving(names, capability) for capability in capabilities)


def _torch_cuda(facts: Mapping[str, Any]) -> List[str]:
    return [told.torch_cuda(facts) or ""]


MACHINE: Dict[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "driver": lambda facts: [told.driver(facts)],
    "driver-cuda": lambda facts: [told.driver_cuda(facts)],
    "cuda": _torch_cuda,
    "capability": told.capabilities,
    "glibc": lambda facts: [told.glibc(facts)],
}
WORDS: Dict[str, Callable[[Mapping[str, Any]], Optional[bool]]] = {
    "torch-is-cpu-build": _cpu_build,
    "driver-older-than-torch": _driver_too_old,
    "torch-lacks-gpu": _no_kernels,
}
