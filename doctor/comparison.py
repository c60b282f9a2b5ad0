"""What the difference of two machines means: which findings came, which went, and what each is due to.

Both snapshots are judged. A finding that only one has is tried again with each difference taken back by itself: where
it goes with that, the difference is its cause. That is tried, not guessed from names.
"""

from dataclasses import dataclass
from typing import Any, Dict, List, Sequence, Tuple

from envdoc.doctor.examine import redacted_check
from envdoc.doctor.facts.compare import Difference, differences, with_field, with_one
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check
from envdoc.doctor.printable import one_line
from envdoc.doctor.redact import redact
from envdoc.doctor.rules.registry import Rule, all_rules, judge

SCHEMA_VERSION = 1
TRIED = 400  # differences that are taken back one by one; the rest are packages that no rule names
_Key = Tuple[str, str, Tuple[str, ...]]


@dataclass(frozen=True)
class Changed:
    """A finding that only one of the two has, and the keys of the differences that it is due to, best first."""

    check: Check
    because: Tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Findings of the new machine alone, of the old one alone, and every difference."""

    appeared: Tuple[Changed, ...]
    gone: Tuple[Changed, ...]
    differences: Tuple[Difference, ...]

    def explains(self, difference: Difference) -> Tuple[str, ...]:
        """The codes of the findings that are due to that difference."""
        both = (*self.appeared, *self.gone)
        keys = (difference.key, difference.field)
        return tuple(dict.fromkeys(one.check.code for one in both if set(keys) & set(one.because)))


def compare(old: Snapshot, new: Snapshot) -> Comparison:
    """Everything in which `new` differs from `old`, and what that means."""
    found = differences(old, new)
    rules = all_rules()
    before, after = _failures(old, rules), _failures(new, rules)
    by_code = {rule.code: rule for rule in rules}

    def changed(here: Dict[_Key, Check], there: Dict[_Key, Check], is_in: Snapshot, other: Snapshot) -> Any:
        ours = sorted(
            (here[key] for key in here if key not in there), key=lambda c: (c.severity.rank, c.code)
        )
        return tuple(Changed(c, _causes(c, by_code[c.code], is_in, other, found)) for c in ours)

    return Comparison(changed(after, before, new, old), changed(before, after, old, new), found)


def _failures(snapshot: Snapshot, rules: Sequence[Rule]) -> Dict[_Key, Check]:
    """By what makes two findings the same one: the code and what it is about, not the numbers in its words."""
    return {_key(check): check for check in judge(snapshot, rules) if check.failed}


def _key(check: Check) -> _Key:
    return check.code, check.severity.value, check.affects


def _causes(
    check: Check, rule: Rule, is_in: Snapshot, other: Snapshot, found: Sequence[Difference]
) -> Tuple[str, ...]:
    """The keys of the single differences without which the finding is gone, or else the fields."""

    def gone(snapshot: Snapshot) -> bool:
        return _key(check) not in {_key(one) for one in rule.run(snapshot) if one.failed}

    causes = [one.key for one in found[:TRIED] if gone(with_one(is_in, other, one))]
    if not causes:
        fields = dict.fromkeys(one.field for one in found)
        causes = [field for field in fields if gone(with_field(is_in, other, field))]
    return tuple(causes)


def as_text(comparison: Comparison) -> str:
    """What it means first, then every difference with the findings that are due to it. Redacted."""
    if not comparison.differences:
        return "The two snapshots say the same.\n"
    lines: List[str] = []
    for word, sign, findings in (("New", "+", comparison.appeared), ("Gone", "-", comparison.gone)):
        if findings:
            lines.append(f"{word} findings:")
        for one in findings:
            check = redacted_check(one.check)
            lines.append(f"  {sign} {check.severity.value} {check.code} {check.title}")
            due = ", ".join(one.because[:4]) + (
                f" and {len(one.because) - 4} more" if one.because[4:] else ""
            )
            lines.append(f"    due to: {due or 'several differences together'}")
        lines += [""] if findings else []
    if not lines:
        lines = ["No rule finds more or less on one of the two than on the other.", ""]
    lines.append(f"Differences ({len(comparison.differences)}), what matters most first:")
    for difference in comparison.differences:
        codes = comparison.explains(difference)
        why = f"  ({', '.join(codes)})" if codes else ""
        lines.append(f"  {one_line(redact(str(difference)))}{why}")
    return "\n".join(lines) + "\n"


def as_json(comparison: Comparison) -> Dict[str, Any]:
    """The same for programs. Redacted."""

    def findings(changed: Sequence[Changed]) -> List[Dict[str, Any]]:
        return [{**redacted_check(one.check).to_json(), "because": list(one.because)} for one in changed]

    return {
        "schema_version": SCHEMA_VERSION,
        "appeared": findings(comparison.appeared),
        "gone": findings(comparison.gone),
        "differences": [
            {"key": redact(one.key), "old": redact(one.old), "new": redact(one.new),
             "explains": list(comparison.explains(one))}
            for one in comparison.differences
        ],
    }  # fmt: skip
