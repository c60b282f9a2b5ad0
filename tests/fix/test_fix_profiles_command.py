"""`envdoc profiles`: yes or no for this machine, as text and as JSON."""

import json
import subprocess
import sys

import pytest
from choice_tools import PROFILES, machine, pythons

from envdoc.doctor.fix.choose import choose
from envdoc.doctor.fix.present_profiles import profiles_json, profiles_text
from envdoc.doctor.fix.profiles import load_profiles

MIXED = choose(machine(["GTX 1080 Ti 6.1", "RTX 5090 12.0"], "580.95.05"), pythons(("3.12",)), PROFILES)
A100 = choose(machine(["A100 8.0"], "535.183.01"), pythons(("3.11", "3.12")), PROFILES)


def run(*arguments):
    """envdoc as a child of its own."""
    argv = [sys.executable, "-m", "envdoc.doctor", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120)


def test_each_profile_has_yes_with_its_support_or_no_with_its_fact():
    """One verdict a profile, the best one marked."""
    text = profiles_text(PROFILES, A100)
    assert text.count("      yes, fits: ") + text.count("      no, does not fit: ") == len(PROFILES)
    assert "* py312-torch210-cu128: " in text
    assert "      yes, fits: support minor\n" in text
    assert "      no, does not fit: CUDA 13.0 needs driver 580 or newer, and this is 535.183.01\n" in text


def test_an_unused_gpu_is_said_with_what_is_in_the_way_and_the_way_out():
    """The single fact and the nearest change."""
    text = profiles_text(PROFILES, MIXED)
    assert "The GPU of this machine stays unused.\n" in text
    assert "In the way: torch 2.14.1 has no code for sm_61 (GTX 1080 Ti); it was built for " in text
    assert "Nearest way out: Leave out GTX 1080 Ti with `export CUDA_DEVICE_ORDER=PCI_BUS_ID " in text


@pytest.mark.parametrize("choice", [MIXED, A100])
def test_the_json_says_the_same(choice):
    """A row a profile: fits, fact, support; and the way out."""
    told = json.loads(json.dumps(profiles_json(PROFILES, choice)))
    facts = dict(choice.rejected)
    assert [facts.get(row["name"]) for row in told["profiles"]] == [row["fact"] for row in told["profiles"]]
    assert all(
        row["fits"] == (row["fact"] is None) == (row["support"] is not None) for row in told["profiles"]
    )
    assert (choice.profile.name, choice.gpu_unused) == (told["profile"], told["gpu_unused"])
    assert (choice.nearest is None) == (told["way_out"] is None)


def test_the_command_lists_every_lockfile_that_ships():
    """On this machine, whatever it is."""
    done = run("profiles", "--format", "json")
    assert 0 == done.returncode, done.stderr
    assert [profile.name for profile in load_profiles()] == [
        row["name"] for row in json.loads(done.stdout)["profiles"]
    ]


def test_an_unknown_format_is_one_error():
    """Exit 2 and no traceback."""
    done = run("profiles", "--format", "yaml")
    assert (2, "") == (done.returncode, done.stdout)
    assert "`--format yaml` is none of text, json." in done.stderr
    assert "Traceback" not in done.stderr
