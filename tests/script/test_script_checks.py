"""Each check finds its fault with the versions that have it, and nothing beside it."""

import ast

import pytest
import script_cases

from envdoc.doctor.script.judgement import CHECKS, judge
from envdoc.doctor.script.look import see


def faults(text, versions):
    """The checks that name a fault of that script with these versions."""
    return {seen.check for seen in see(ast.parse(text)) if judge(seen.check, seen.subject, versions)}


def each(cases):
    return [
        pytest.param(check, text, versions, id=f"{check}-{number}")
        for check, rows in cases.items()
        for number, (text, versions) in enumerate(rows)
    ]


def test_every_check_has_a_faulty_and_a_sound_script():
    """No check without both."""
    assert set(CHECKS) == set(script_cases.FAULTY) == set(script_cases.SOUND)


@pytest.mark.parametrize(("check", "text", "versions"), each(script_cases.FAULTY))
def test_a_faulty_script_is_named(check, text, versions):
    """The check names the fault."""
    assert check in faults(text, versions)


@pytest.mark.parametrize(("check", "text", "versions"), each(script_cases.SOUND))
def test_a_sound_script_is_not_blamed(check, text, versions):
    """The check has nothing to say about a script that is near its fault."""
    assert check not in faults(text, versions)


@pytest.mark.parametrize(("check", "text", "versions"), each(script_cases.FAULTY))
def test_nothing_is_judged_without_versions(check, text, versions):
    """Where nothing is known of the installed packages, no fault of a version is named."""
    by_version = (
        {seen for seen in faults(text, {}) if judge(seen, "", {}) is None} if False else faults(text, {})
    )
    always = {
        "device-map-under-ddp", "variable-too-late", "remote-code-unpinned", "target-modules", "cuda-before-fork",
        "contradicting-arguments", "labels-missing", "labels-not-masked", "resume-override",
    }  # fmt: skip
    assert set() == by_version - always
