"""Machines of kinds that people rent, and with which nothing is wrong, raise nothing above a note."""

import pytest
from healthy_machines import HEALTHY_MACHINES

from envdoc.doctor.facts.snapshot import from_json
from envdoc.doctor.finding import Severity, Status
from envdoc.doctor.rules.registry import judge


@pytest.mark.parametrize("build", HEALTHY_MACHINES, ids=lambda build: build.__name__)
def test_healthy_machine_raises_nothing_above_a_note(build):
    """Neither a warning nor an error, and no rule crashes."""
    checks = judge(build())
    assert [] == [c.title for c in checks if c.failed and c.severity is not Severity.INFO]
    assert [] == [c.detail for c in checks if c.status is Status.CRASHED]


@pytest.mark.parametrize("build", HEALTHY_MACHINES, ids=lambda build: build.__name__)
def test_healthy_machine_survives_json(build):
    """What rules are tested on is a snapshot like any other."""
    snapshot = build()
    assert snapshot == from_json(snapshot.to_json())
