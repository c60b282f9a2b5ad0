"""The proofs themselves, in the patient: the three named issues every time, and three others that the day chooses."""

import os
import subprocess
import sys

import pytest
from tiny import ROOT

pytestmark = pytest.mark.slow


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


def test_named_issues_on_both_sides_of_their_bounds(patient):
    """Each proof of the three named issues shows what it must."""
    code, told = verify(patient, "--named", "--jobs", "4")
    assert 0 == code, told


def test_a_sample_of_the_rest(patient):
    """Three proofs of the other advisories show what they must."""
    code, told = verify(patient, "--sample", "3")
    assert 0 == code, told
