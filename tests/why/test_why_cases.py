"""238 failures, written without sight of the advisories: 107 after public threads, the others after upstream code.

They were the blind test of 2026-11-24 (docs/why.md). They have been read since, so this only keeps what was reached.
"""

import json
from pathlib import Path

from envdoc.doctor.why import why

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "cases.jsonl").read_text(encoding="utf-8").splitlines()
]


def test_most_get_the_right_class_first():
    """At least nine of ten; and of the answers that are given at 0.8 or above, at least 94 of a hundred are right."""
    firsts = [(case, next(iter(why(case["log"], case["facts"])), None)) for case in CASES]
    right = [first is not None and first.cause_class == case["cause_class"] for case, first in firsts]
    sure = [good for good, (_, first) in zip(right, firsts) if first is not None and first.confidence >= 0.8]

    assert 238 == len(CASES)
    assert sum(right) >= 0.9 * len(right)
    assert sum(sure) >= 0.94 * len(sure)
