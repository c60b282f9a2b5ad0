"""What an advisory must be to be shipped: more than its loader asks, less than a reader would.

The checks that need no interpreter of the patient: words, links, classes, patterns, and whether each bound that says
`run:` is carried by proofs of both sides in evidence.json.
"""

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Sequence, Set, Tuple

from envdoc.doctor.advisories import HOWS, KINDS, Advisory
from envdoc.doctor.advisories.overlays import pins, version_over, with_companions
from envdoc.doctor.advisories.proof import FAILS, Seen
from envdoc.doctor.tables.versions import satisfies, specifiers

# Python's own reader of patterns; its name changed in 3.11.
_parse: Any = import_module("re._parser" if sys.version_info >= (3, 11) else "sre_parse")
_sre: Any = import_module("re._constants" if sys.version_info >= (3, 11) else "sre_constants")

LINK = re.compile(r"[\w.-]+/[\w.-]+#\d+$")
DAY = re.compile(r"20\d\d-\d\d-\d\d$")
LONGEST_SUMMARY = 80
ENDLESS = 1000  # a repeat that may be longer is taken for one without an end

_VERSION = re.compile(r"\d+(?:\.\d+)+(?:\.?\w+)?")


def lint(
    known: Sequence[Advisory],
    classes: FrozenSet[str],
    evidence: Mapping[str, Sequence[Seen]],
    bases: Mapping[str, Mapping[str, str]],
    folder: Path,
) -> Tuple[str, ...]:
    """One sentence for each thing that is wrong, `ID: what`; empty where all is well.

    `bases` has the packages of each base environment of the evidence, by its id.
    """
    found: List[str] = []
    pinned = set(pins(folder))
    for advisory in known:
        problems = [
            *_words(advisory, classes),
            *_patterns(advisory),
            *_proofs(advisory, pinned, folder),
            *_bounds(advisory, evidence.get(advisory.id, ()), bases),
            *_seen(advisory, evidence.get(advisory.id, ())),
        ]
        found += [f"{advisory.id}: {problem}" for problem in problems]
    return (*found, *_twice(known))


def _words(advisory: Advisory, classes: FrozenSet[str]) -> Iterable[str]:
    if len(advisory.summary) >= LONGEST_SUMMARY:
        yield f"the summary has {len(advisory.summary)} characters, and must have fewer than {LONGEST_SUMMARY}"
    if advisory.cause_class not in classes:
        yield f"`{advisory.cause_class}` is no class of tables/cause_classes.toml"
    if advisory.kind not in KINDS:
        yield f"`{advisory.kind}` is no kind"
    for name, text in (
        ("details", advisory.details),
        ("cause", advisory.cause),
        ("advice", advisory.remedy.advice),
    ):
        if not text.endswith("."):
            yield f"the {name} must be whole sentences"
    yield from (f"the link `{link}` is not owner/repo#N" for link in advisory.links if not LINK.match(link))
    if not (advisory.symptom or advisory.weak_symptom):
        yield "there is no symptom"
    if not advisory.evidence:
        yield "there is no evidence"
    for row in advisory.evidence:
        if row.how not in HOWS or not DAY.match(row.date):
            yield f"the evidence of {row.date} needs a day and one of {', '.join(HOWS)}"
    if not DAY.match(advisory.modified):
        yield "`modified` must be a day"


def _patterns(advisory: Advisory) -> Iterable[str]:
    for pattern in advisory.symptom + advisory.weak_symptom:
        yield from (f"{problem}: {pattern.pattern}" for problem in pattern_problems(pattern.pattern))


def pattern_problems(pattern: str) -> Tuple[str, ...]:
    """Why a log of any content could make this pattern slow, or match it always."""
    tree = _parse.parse(pattern)
    problems = []
    if re.search(pattern, "", re.IGNORECASE):
        problems.append("it matches nothing at all")
    items = list(tree)
    if items and _endless(items[0]) and _width(items[0][1][2]) == "any":
        problems.append("it begins with an endless repeat of anything")
    problems += _nested(tree, inside=False)
    return tuple(dict.fromkeys(problems))


def _endless(item: Any) -> bool:
    repeats = (_sre.MAX_REPEAT, _sre.MIN_REPEAT)
    return item[0] in repeats and int(item[1][1]) > ENDLESS


def _width(inner: Any) -> str:
    return "any" if [item[0] for item in inner] == [_sre.ANY] else ""


def _nested(tree: Any, inside: bool) -> List[str]:
    """An endless repeat inside another, and endless repeats of `.`, which look through a whole line from each place."""
    found: List[str] = []
    for item in tree:
        endless = _endless(item)
        if endless and inside:
            found.append("an endless repeat inside an endless repeat")
        if endless and _width(item[1][2]) == "any":
            found.append("an endless repeat of anything; bound it, {0,80}")
        for part in _parts(item[1]):
            found += _nested(part, inside or endless)
    return found


def _parts(argument: Any) -> Iterable[Any]:
    """The patterns within an item of a parsed pattern."""
    if isinstance(argument, _parse.SubPattern):
        yield argument
    elif isinstance(argument, (list, tuple)):
        for inner in argument:
            yield from _parts(inner)


def _proofs(advisory: Advisory, pinned: Set[str], folder: Path) -> Iterable[str]:
    if bool(advisory.reproducer) == bool(advisory.unproved):
        yield "it needs either a reproducer or a word on why there is none"
    if advisory.reproducer:
        if not (folder / "reproducers" / f"{advisory.reproducer}.py").exists():
            yield f"there is no reproducer {advisory.reproducer}.py"
        if not any(proof.fails for proof in advisory.proof):
            yield "no proof shows the fault"
    elif advisory.proof:
        yield "there are proofs and no reproducer"
    for proof in advisory.proof:
        for item in with_companions(proof.packages, folder):
            if item not in pinned:
                yield f"`{item}` is not in pins.txt"


def _bounds(
    advisory: Advisory, seen: Sequence[Seen], bases: Mapping[str, Mapping[str, str]]
) -> Iterable[str]:
    told = dict(advisory.bounds)
    yield from (
        f"the bound of {name} is of no package in `affected`"
        for name in told
        if name not in dict(advisory.affected)
    )
    for name, versions in advisory.affected:
        text = told.get(name, "")
        if specifiers(versions) is None:
            yield f"`{versions}` is no range of versions"
        elif not re.match(rf"(?:{'|'.join(HOWS)}): \S", text):
            yield f"where the bound of {name} comes from is not told (run:, code: or thread:)"
        elif text.startswith("run:"):
            yield from _carried(name, versions, text, seen, bases)


def _carried(
    name: str, versions: str, text: str, seen: Sequence[Seen], bases: Mapping[str, Mapping[str, str]]
) -> Iterable[str]:
    """Whether each end of the range has a run beyond it that passes, and the range a run within it that fails.

    An end whose version, or that of a neighbour, is told after `code:` or `thread:` needs no run.
    """
    runs = [
        (version_over(name, row.packages + row.companions, bases.get(row.base, {})), row.verdict)
        for row in seen
        if row.as_it_must
    ]
    inside = [version for version, verdict in runs if verdict == FAILS and version]
    outside = [version for version, verdict in runs if verdict != FAILS and version]
    if not any(satisfies(version, versions) is True for version in inside):
        yield f"no proof in evidence.json fails with a {name} in {versions}"
    elsewhere = re.split(r"\b(?:code|thread):", text, maxsplit=1)[1:]
    for end in specifiers(versions) or ():
        if end.operator not in (">", ">=", "<", "<=") or elsewhere:
            continue
        if not any(satisfies(version, str(end)) is False for version in outside):
            yield f"no proof in evidence.json passes with a {name} beyond {end}"


def _seen(advisory: Advisory, seen: Sequence[Seen]) -> Iterable[str]:
    """What a failing proof printed, where it is an error, must be what the advisory knows it by."""
    patterns = advisory.symptom + advisory.weak_symptom
    for row in seen:
        error = row.verdict == FAILS and row.fails and re.match(r"\w+(?:Error|Exception): ", row.seen)
        if error and not any(pattern.search(row.seen) for pattern in patterns):
            yield f"no symptom matches what its proof printed: {row.seen}"


def _twice(known: Sequence[Advisory]) -> Iterable[str]:
    """The same pattern as a sure symptom of two classes decides nothing."""
    owner: Dict[str, Advisory] = {}
    for advisory in known:
        for pattern in advisory.symptom:
            other = owner.setdefault(pattern.pattern, advisory)
            if other.cause_class != advisory.cause_class:
                yield f"{advisory.id}: a symptom of {other.id}, which is of another class: {pattern.pattern}"
