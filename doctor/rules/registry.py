"""How a rule is written, found and run.

A rule is a pure function of a snapshot. It returns the problems it sees (none: the check passed), or what it
measured where all is well (Passed), or raises Skip where the snapshot does not tell enough. Its words live in
`messages/en/FAMILY.toml` under its code, with placeholders that each problem fills: a second language is a second
folder.
"""

import re
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check, Fix, Kind, Severity, Status
from envdoc.doctor.rules.messages import Message, messages

_DOUBLE_STOP = re.compile(r"(?<!\.)\.\.(?!\.)")  # a value may be a sentence of its own, and end as one


# A call of an enumeration takes five times as long.
SEVERITIES = {severity.value: severity for severity in Severity}
KINDS = {kind.value: kind for kind in Kind}


class Skip(Exception):
    """Raised by a rule that cannot judge this snapshot; its text says why ("no GPU was found")."""


@dataclass(frozen=True)
class Problem:
    """One thing that a rule found wrong.

    `values` fill the placeholders of the rule's message; `severity`, `commands` and `safe` replace the message's
    own where this problem needs others.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    evidence: Tuple[str, ...] = ()
    affects: Tuple[str, ...] = ()
    severity: Optional[Severity] = None
    commands: Optional[Tuple[str, ...]] = None


@dataclass(frozen=True)
class Passed:
    """What a check that passed measured: `values` fill the placeholders of the message's `passed`."""

    values: Mapping[str, object] = field(default_factory=dict)


RuleFunction = Callable[[Snapshot], Union[Iterable[Problem], Passed]]


@dataclass(frozen=True)
class Rule:
    """A rule: its code, its function and the words of its message."""

    code: str
    function: RuleFunction
    message: Message

    def run(self, snapshot: Snapshot) -> List[Check]:
        """Judge the snapshot: a failed check a problem, or one check that passed, was skipped or crashed."""
        started = time.perf_counter()
        try:
            found = self.function(snapshot)
            problems = [] if isinstance(found, Passed) else list(found)
            seconds = time.perf_counter() - started
            passed = self.message.passed or self.message.summary
            if isinstance(found, Passed):
                passed = passed.format(**found.values)
            checks = [self._failed(problem, seconds) for problem in problems]
            return checks or [self._check(Status.OK, passed, seconds)]
        except Skip as reason:
            return [
                self._check(Status.SKIPPED, self.message.summary, time.perf_counter() - started, str(reason))
            ]
        except Exception as error:  # a crashed check is a result with a code, and never ends the run
            detail = f"The rule itself failed: {type(error).__name__}: {error}. Please report this."
            return [self._check(Status.CRASHED, self.message.summary, time.perf_counter() - started, detail)]

    def _failed(self, problem: Problem, seconds: float) -> Check:
        message = self.message
        commands = message.remedy if problem.commands is None else problem.commands
        return Check(
            code=self.code,
            name=message.name,
            status=Status.FAIL,
            severity=problem.severity or SEVERITIES[message.severity],
            kind=KINDS[message.kind],
            title=message.title.format(**problem.values),
            detail=_DOUBLE_STOP.sub(".", message.detail.format(**problem.values)),
            evidence=problem.evidence,
            affects=problem.affects,
            fix=Fix(message.safe, tuple(command.format(**problem.values) for command in commands)),
            links=message.links,
            seconds=seconds,
            needs_new_environment=message.needs_new_environment,
        )

    def _check(self, status: Status, title: str, seconds: float, detail: str = "") -> Check:
        message = self.message
        words = (message.name, message.severity, message.kind, title, detail)
        return _not_failed(self.code, status, *words).timed(seconds)


@lru_cache(
    maxsize=8192
)  # nine of ten checks pass or judge nothing, in every snapshot of a fleet in the same words
def _not_failed(
    code: str, status: Status, name: str, severity: str, kind: str, title: str, detail: str
) -> Check:
    return Check(code, name, status, SEVERITIES[severity], KINDS[kind], title, detail)


_FUNCTIONS: Dict[str, RuleFunction] = {}


def rule(code: str) -> Callable[[RuleFunction], RuleFunction]:
    """Register a function under its code. A code is never used for anything else again."""

    def register(function: RuleFunction) -> RuleFunction:
        if code in _FUNCTIONS:
            raise ValueError(f"Two rules claim the code {code}.")
        _FUNCTIONS[code] = function
        return function

    return register


def all_rules() -> Tuple[Rule, ...]:
    """Every rule, those of plug-ins too, sorted by code."""
    from envdoc.doctor.rules import families  # imports each family, whose decorators register
    from envdoc.doctor.rules.plugins import plugins

    assert families
    packages = plugins().packages  # first: they register too
    return _with_words(tuple(_FUNCTIONS.items()), packages)


@lru_cache(maxsize=4)  # a fleet's snapshots are judged by the same rules
def _with_words(
    functions: Tuple[Tuple[str, RuleFunction], ...], packages: Tuple[str, ...]
) -> Tuple[Rule, ...]:
    """The rules by code. `packages` brought words of their own, which are other words where they are others."""
    from envdoc.doctor.rules.plugins import plugins

    words = {**messages(), **plugins().words}
    return tuple(Rule(code, function, words[code]) for code, function in sorted(functions))


def selected(
    rules: Sequence[Rule], select: Sequence[str] = (), ignore: Sequence[str] = ()
) -> Tuple[Rule, ...]:
    """The rules whose code starts with a prefix of `select` (all where it is empty) and none of `ignore`."""
    if not select and not ignore:
        return tuple(rules)
    chosen = [r for r in rules if not select or r.code.startswith(tuple(select))]
    return tuple(r for r in chosen if not ignore or not r.code.startswith(tuple(ignore)))


def judge(snapshot: Snapshot, rules: Optional[Sequence[Rule]] = None) -> Tuple[Check, ...]:
    """Every check over the snapshot, in the order of the rules."""
    return tuple(check for r in (all_rules() if rules is None else rules) for check in r.run(snapshot))
