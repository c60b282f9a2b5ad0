"""A log in (and facts, if any), ranked causes out: the advisories whose symptoms the log shows.

Facts never make a cause: a log that shows nothing has no causes. They raise the confidence where the versions are
those that the advisory names, and lower it where they are not.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Dict, Mapping, Optional, Pattern, Sequence, Tuple

from envdoc.doctor.advisories import Advisory, advisories
from envdoc.doctor.advisories.conditions import holds

SCHEMA_VERSION = 1
LONGEST_LOG = 2_000_000  # characters kept, from the end: the decisive lines of a training log are its last

# Not measured: an order of how much a match says, and a reader's word for it.
TELLING, SHARED, DESCRIBED = (
    0.8,
    0.4,
    0.3,
)  # a line of its own; a shared line; words of the user about the run
FACTS_AGREE, FACTS_DISAGREE = 0.5, 0.3  # the doubt that is left, times; the confidence that is left, times
LEAST = 0.1

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Cause:
    """One possible cause. `confidence` is between 0 and 1; `evidence` are the lines that show it."""

    code: str  # the advisory's id
    cause_class: str
    title: str
    confidence: float
    evidence: Tuple[str, ...]
    remedy: Tuple[str, ...]
    links: Tuple[str, ...]


def why(log: str, facts: Optional[Mapping[str, Any]] = None) -> Tuple[Cause, ...]:
    """The causes of what the log shows, best first; empty where nothing fits.

    `facts` is the JSON of a snapshot, or the loose form of advisories/conditions.py.
    """
    told = facts if isinstance(facts, Mapping) else {}
    text = _COLOUR.sub("", log[-LONGEST_LOG:])
    found = [_judge(advisory, text, told) for advisory in advisories()]
    causes = [cause for cause in found if cause is not None and cause.confidence >= LEAST]
    return tuple(sorted(causes, key=lambda cause: (-cause.confidence, cause.code)))


def document(log: str, facts: Optional[Mapping[str, Any]] = None) -> Dict[str, Any]:
    """The JSON of `envdoc why`: {"schema_version", "causes": [...]}."""
    causes = [
        {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(cause).items()}
        for cause in why(log, facts)
    ]
    return {"schema_version": SCHEMA_VERSION, "causes": causes}


def why_text(found: Mapping[str, Any]) -> str:
    """The same for a terminal: each cause, what shows it, what to do."""
    causes: Sequence[Mapping[str, Any]] = found["causes"]
    if not causes:
        return (
            "No known cause fits this log. `envdoc check` looks at the machine itself; "
            "`envdoc report` makes a block for an issue.\n"
        )
    lines = []
    for number, cause in enumerate(causes, 1):
        lines.append(f"{number}. {cause['title']} ({cause['confidence']:.0%}, {cause['cause_class']})")
        lines += [f"   seen: {line}" for line in cause["evidence"]]
        lines += [f"   do:   {step}" for step in cause["remedy"]]
        lines += [f"   see:  {', '.join(cause['links'])}"] if cause["links"] else []
        lines.append("")
    return "\n".join(lines)


def _judge(advisory: Advisory, text: str, facts: Mapping[str, Any]) -> Optional[Cause]:
    confidence, evidence = _shown(advisory, text)
    if not evidence:
        confidence, evidence = _described(advisory, facts)
    if not evidence:
        return None
    fits = holds(advisory.conditions, advisory.when.any, facts)
    if fits is True:
        confidence = 1 - (1 - confidence) * FACTS_AGREE
    elif fits is False:
        confidence *= FACTS_DISAGREE
    return Cause(
        code=advisory.id,
        cause_class=advisory.cause_class,
        title=advisory.summary,
        confidence=round(confidence, 2),
        evidence=evidence,
        remedy=(advisory.remedy.advice, *advisory.remedy.commands),
        links=advisory.links,
    )


def _shown(advisory: Advisory, text: str) -> Tuple[float, Tuple[str, ...]]:
    for patterns, confidence in ((advisory.symptom, TELLING), (advisory.weak_symptom, SHARED)):
        lines = _matches(patterns, text)
        if lines:
            return confidence, lines
    return 0.0, ()


def _described(advisory: Advisory, facts: Mapping[str, Any]) -> Tuple[float, Tuple[str, ...]]:
    """A silent failure prints nothing; what its user says of the run (`code` in the facts) may still tell."""
    words = facts.get("code")
    lines = _matches(advisory.symptom + advisory.weak_symptom, words) if isinstance(words, str) else ()
    return (DESCRIBED, lines) if lines else (0.0, ())


def _matches(patterns: Sequence[Pattern[str]], text: str) -> Tuple[str, ...]:
    """The lines with the last match of each pattern, each once, at most 200 characters."""
    lines = []
    for pattern in patterns:
        matches = list(pattern.finditer(text))
        if matches:
            last = matches[-1]
            start = text.rfind("\n", 0, last.start()) + 1
            end = text.find("\n", last.end())
            line = " ".join(text[start : end if end >= 0 else len(text)].split())
            lines.append(line if len(line) <= 200 else " ".join(last.group().split())[:200])
    return tuple(dict.fromkeys(lines))
