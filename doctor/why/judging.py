"""How sure a cause is, from what the log shows and what the facts say; the numbers are measured (docs/why.md).

Three things count: whether the line is of this cause alone, whether it is the error that decided, and whether the facts
are those that the advisory names. What a user says of a run that printed nothing counts less than any line of a log.
"""

from dataclasses import dataclass, replace
from typing import Any, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.advisories import Advisory, advisories
from envdoc.doctor.advisories.conditions import Judged, judged, verdict
from envdoc.doctor.why.decisive import Role, decisive_text, roles
from envdoc.doctor.why.matching import Match, Page
from envdoc.doctor.why.reading import Line
from envdoc.doctor.why.resemblance import resemblances

# A line of this cause alone; a line that it shares. Of the blind cases that such a line alone answered 65 of 71 were
# right (docs/why.md): by itself it stays below 0.8, from where on 95 of 100 are to be right.
TELLING, SHARED = 0.79, 0.42
SAID_TELLING, SAID_SHARED = 0.5, 0.32  # the same in the user's words about the run
ALIKE = 0.45  # times the resemblance: no pattern at all
MOST_ALIKE = 0.45
LEAST_ALIKE = 0.3  # of the weight of the description's words
ANOTHER_PLACE = 0.85  # the doubt that is left for each other place that shows it, times
MOST_SHARED = 0.48  # shared lines alone, however many, are a guess
FACTS_AGREE = 0.5  # the doubt that is left, times
SOME_FACTS_AGREE = 0.85
FACTS_DISAGREE, FACTS_DISAGREE_SHARED = 0.45, 0.2  # the confidence that is left, times
ROLE = {
    Role.DECISIVE: 1.0,
    Role.ERROR: 0.9,
    Role.WARNING: 0.55,
    Role.PLAIN: 0.55,
}  # where another line decides
HARMLESS = 0.3  # a warning that needs no action, where another line ended the run
CONTESTED = 0.85  # where another class shows in the same line and the facts do not tell them apart
UNTOLD = 0.002  # of two that are as sure, the one that asks nothing of facts that are not told comes first
LEAST = 0.12
GUESS = 0.5  # what is below is shown as a guess
MOST_CAUSES = 6


@dataclass(frozen=True)
class Judgement:
    """One advisory against one log and facts."""

    advisory: Advisory
    confidence: float
    matches: Tuple[Match, ...]
    facts: Tuple[Judged, ...]  # those that agree
    agrees: Optional[bool]
    likeness: float = 0.0
    said: str = ""  # the user's words that show it, where no line does


def judge(lines: Sequence[Line], facts: Mapping[str, Any]) -> Tuple[Judgement, ...]:
    """Every advisory that the log shows, or else the user's words, best first."""
    log_roles = roles(lines)
    decided = Role.DECISIVE in log_roles
    page = Page(lines, log_roles)
    words = facts.get("code") if isinstance(facts.get("code"), str) else ""
    alike = {advisory.id: score for score, advisory in resemblances(words)} if words else {}
    said = Page([Line(1, str(words))], [Role.PLAIN]) if words else None
    found = []
    for advisory in advisories():
        matches = page.matches(advisory)
        if matches:
            others = page.others(advisory, matches) + bool(said is not None and said.matches(advisory))
            found.append(_shown(advisory, matches, decided, facts, alike.get(advisory.id, 0.0), others))
    found = _contested(found)
    if words and not any(one.confidence >= GUESS for one in found):
        known = {one.advisory.id for one in found}
        found += [one for one in _said(str(words), facts, alike, bool(found)) if one.advisory.id not in known]
    elif not found and not words:
        found = _like_the_error(lines, facts)
    kept = [one for one in found if one.confidence >= LEAST]
    return tuple(sorted(kept, key=_order)[:MOST_CAUSES])


def _order(one: Judgement) -> Tuple[float, str]:
    length = max((match.length for match in one.matches), default=0)
    untold = UNTOLD if one.agrees is None and (one.advisory.conditions or one.advisory.when.any) else 0.0
    return (-(one.confidence + 0.06 * one.likeness + 0.0002 * length - untold), one.advisory.id)


def _shown(
    advisory: Advisory,
    matches: Tuple[Match, ...],
    decided: bool,
    facts: Mapping[str, Any],
    likeness: float,
    others: int,
) -> Judgement:
    """`others`: how many more places show it, the user's words among them."""
    best = matches[0]
    confidence = (TELLING if best.is_telling else SHARED) * (ROLE[best.role] if decided else 1.0)
    if decided and advisory.cause_class == "harmless-warning" and best.role is not Role.DECISIVE:
        confidence *= HARMLESS
    raised = 1 - (1 - confidence) * ANOTHER_PLACE ** min(others, 2)
    confidence = raised if best.is_telling else max(confidence, min(raised, MOST_SHARED))
    return _weighed(advisory, confidence, facts, matches, likeness)


def _weighed(
    advisory: Advisory,
    confidence: float,
    facts: Mapping[str, Any],
    matches: Tuple[Match, ...] = (),
    likeness: float = 0.0,
    said: str = "",
) -> Judgement:
    every, any_of = judged(advisory.conditions, facts), judged(advisory.when.any, facts)
    agrees = verdict(every, any_of)
    agreeing = tuple(one for one in (*every, *any_of) if one.holds is True)
    if agrees is True:
        confidence = 1 - (1 - confidence) * FACTS_AGREE
    elif agrees is False:
        weak = not matches or not matches[0].is_telling
        confidence *= FACTS_DISAGREE_SHARED if weak else FACTS_DISAGREE
    elif agreeing:
        confidence = 1 - (1 - confidence) * SOME_FACTS_AGREE
    return Judgement(advisory, confidence, matches, agreeing, agrees, likeness, said)


def _contested(found: List[Judgement]) -> List[Judgement]:
    """Lower what another class shows in the same line, unless the facts speak for one of them alone."""
    lowered = []
    for one in found:
        rivals = [
            other
            for other in found
            if other.advisory.cause_class != one.advisory.cause_class
            and other.matches[0].place == one.matches[0].place
            and other.matches[0].is_telling >= one.matches[0].is_telling
            and other.agrees is one.agrees
        ]
        lowered.append(replace(one, confidence=one.confidence * CONTESTED) if rivals else one)
    return lowered


def _said(words: str, facts: Mapping[str, Any], alike: Mapping[str, float], has_log: bool) -> List[Judgement]:
    """What the user's words show or resemble; less where a log says something else."""
    page = Page([Line(1, words)], [Role.PLAIN])
    share = 0.8 if has_log else 1.0
    found = []
    for advisory in advisories():
        likeness = alike.get(advisory.id, 0.0)
        matches = page.matches(advisory)
        if matches:
            base = SAID_TELLING if matches[0].is_telling else SAID_SHARED
            said = base + (1 - base) * 0.5 * likeness
        elif likeness >= LEAST_ALIKE:
            said = ALIKE * likeness
        else:
            continue
        judgement = _weighed(advisory, min(said, 0.7) * share, facts, (), likeness, words)
        if not matches:  # facts make no cause: they raise a resemblance by little
            judgement = replace(judgement, confidence=min(judgement.confidence, said * 1.2, MOST_ALIKE))
        found.append(judgement)
    return found


def _like_the_error(lines: Sequence[Line], facts: Mapping[str, Any]) -> List[Judgement]:
    """Where no symptom shows: advisories that have most of the decisive error's words. Never more than a guess."""
    error = decisive_text(lines)
    found = []
    for score, advisory in resemblances(error)[:3] if error else []:
        if score >= 0.62:
            judgement = _weighed(advisory, 0.5 * score, facts, (), score, error)
            found.append(replace(judgement, confidence=min(judgement.confidence, MOST_ALIKE)))
    return found
