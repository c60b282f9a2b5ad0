"""A log in (and facts, if any), ranked causes out: the advisories whose symptoms the log shows.

reading.py keeps the lines that can matter, decisive.py finds the error among them, log_facts.py the facts that they
tell, matching.py the advisories that they show, judging.py says how sure that is, remedy.py what to do on this machine.
"""

from dataclasses import asdict, dataclass
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

from envdoc.doctor.why.decisive import root_line
from envdoc.doctor.why.judging import GUESS, Judgement, judge
from envdoc.doctor.why.log_facts import log_facts, site_packages, together
from envdoc.doctor.why.reading import Reading, read_log
from envdoc.doctor.why.remedy import remedy
from envdoc.doctor.why.text import why_text

__all__ = ["SCHEMA_VERSION", "Cause", "Here", "document", "why", "why_text"]

SCHEMA_VERSION = 1
MOST_EVIDENCE = 4

Log = Union[str, bytes, Iterable[bytes]]
# The facts of the machine that envdoc runs on, if it looks like the one of the log: it is given the site-packages
# folders of the log and what the log tells, and returns a snapshot's JSON and a word for it, or None.
Here = Callable[[Sequence[str], Mapping[str, Any]], Optional[Tuple[Mapping[str, Any], str]]]


@dataclass(frozen=True)
class Cause:
    """One possible cause. `confidence` is between 0 and 1; `evidence` are the lines and facts that show it."""

    code: str  # the advisory's id
    cause_class: str
    title: str
    confidence: float
    evidence: Tuple[str, ...]
    remedy: Tuple[str, ...]
    links: Tuple[str, ...]
    cause: str = ""  # one sentence
    kind: str = ""  # whose fault: host, library, data or script
    is_guess: bool = False


def why(log: Log, facts: Optional[Mapping[str, Any]] = None) -> Tuple[Cause, ...]:
    """The causes of what the log shows, best first; empty where nothing fits.

    `log` is a text, bytes, or blocks of bytes. `facts` is the JSON of a snapshot, or the loose form of
    advisories/told.py.
    """
    reading = read_log(log)
    return _causes(reading, _facts(reading, facts)[1])


def document(
    log: Log, facts: Optional[Mapping[str, Any]] = None, here: Optional[Here] = None
) -> Dict[str, Any]:
    """The JSON of `envdoc why`: {"schema_version", "causes": [...]} and what they rest on.

    `here` is asked for the facts of this machine where none are given.
    """
    reading = read_log(log)
    told, known = _facts(reading, facts)
    source = "given" if isinstance(facts, Mapping) and facts else ""
    if not source and here is not None and reading.lines:
        found = here(site_packages(reading.lines), told)
        if found is not None:
            known, source = together(found[0], told), found[1]
    if not source and told:
        source = "those that the log tells"
    error = root_line(reading.lines)
    return {
        "schema_version": SCHEMA_VERSION,
        "causes": [_plain(asdict(cause)) for cause in _causes(reading, known)],
        "error": f"line {error[0]}: {error[1][:300]}" if error else "",
        "facts_from": source,
    }


def _facts(reading: Reading, facts: Optional[Mapping[str, Any]]) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """What the log tells; the same completed by the facts that are given."""
    told = log_facts(reading.lines)
    return told, together(facts if isinstance(facts, Mapping) else {}, told)


def _causes(reading: Reading, facts: Mapping[str, Any]) -> Tuple[Cause, ...]:
    many = reading.line_count > 1
    return tuple(_cause(one, facts, many) for one in judge(reading.lines, facts))


def _cause(one: Judgement, facts: Mapping[str, Any], many: bool) -> Cause:
    advisory = one.advisory
    return Cause(
        code=advisory.id,
        cause_class=advisory.cause_class,
        title=advisory.summary,
        confidence=round(one.confidence, 2),
        evidence=tuple(_evidence(one)),
        remedy=remedy(advisory, facts),
        links=advisory.links,
        cause=advisory.cause,
        kind=advisory.kind,
        is_guess=one.confidence < GUESS,
    )


def _evidence(one: Judgement) -> List[str]:
    """The lines, then the facts: "peft 0.17.1 is peft>=0.3.0,<0.18.0"."""
    lines = list(dict.fromkeys(match.text for match in one.matches))[:MOST_EVIDENCE]
    if one.said:
        lines.append(f"said of the run: {one.said[:200]}")
    facts = [f"fact: {fact.shown} ({fact.condition})" for fact in one.facts if fact.shown]
    return lines + list(dict.fromkeys(facts))[:MOST_EVIDENCE]


def _plain(row: Dict[str, Any]) -> Dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in row.items()}
