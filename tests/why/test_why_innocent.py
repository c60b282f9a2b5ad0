"""Logs that are no environment trouble at all: user bugs, other programs, runs that went well."""

from pathlib import Path

from envdoc.doctor.why import document

LOGS = sorted((Path(__file__).parent / "innocent").glob("*.log"))


def test_there_are_enough():
    """At least sixty, each of its own kind."""
    assert len(LOGS) >= 60
    assert len({path.read_bytes() for path in LOGS}) == len(LOGS)


def test_at_most_one_is_given_a_cause():
    """At 0.5 or above an answer is no guess any more."""
    blamed = {path.name: document(path.read_bytes())["causes"][:1] for path in LOGS}
    assert len([name for name, causes in blamed.items() if causes and causes[0]["confidence"] >= 0.5]) <= 1


def test_few_are_given_a_guess():
    """Where nothing fits envdoc says so."""
    assert sum(bool(document(path.read_bytes())["causes"]) for path in LOGS) <= 6
