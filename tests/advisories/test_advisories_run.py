"""The proofs themselves, in the patient: the three named issues every time, and three others that the day chooses.

Each child imports torch and an old transformers anew; the proofs of one advisory are one test, so that the workers
of pytest-xdist share them.
"""

import os
import subprocess
import sys

import pytest
from tiny import ROOT

from envdoc.doctor.advisories import load
from envdoc.doctor.advisories.proof import NAMED

pytestmark = pytest.mark.slow

NAMED_ADVISORIES = [a.id for a in load(ROOT / "doctor" / "advisories") if a.proof and NAMED.match(a.id)]
JOBS = "1" if "PYTEST_XDIST_WORKER" in os.environ else "4"


def verify(patient, *options):
    """scripts/verify-advisories, and what it said."""
    command = [
        sys.executable,
        str(ROOT / "scripts" / "verify-advisories"),
        "--python",
        str(patient),
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800, env=dict(os.environ))
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("advisory", NAMED_ADVISORIES)
def test_named_issue_on_both_sides_of_its_bounds(patient, advisory):
    """Each proof of an advisory about the three named issues shows what it must, and it has proofs."""
    code, told = verify(patient, "--named", "--only", advisory, "--jobs", JOBS)
    assert (0, True) == (code, told.startswith("ok   ")), told


def test_no_named_issue_is_left_out(patient):
    """The tests above run, advisory by advisory, all that `scripts/verify-advisories --named` would run."""
    code, told = verify(patient, "--named", "--list")
    assert (0, sorted(NAMED_ADVISORIES)) == (code, sorted({row.split(":")[0] for row in told.splitlines()}))


def test_a_sample_of_the_rest(patient):
    """Three proofs of the other advisories show what they must."""
    code, told = verify(patient, "--sample", "3", "--jobs", JOBS)
    assert 0 == code, told
