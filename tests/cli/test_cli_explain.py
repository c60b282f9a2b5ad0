"""`envdoc explain` and `envdoc rules --advisories`: every known issue has its page."""

import json

import pytest

from envdoc.doctor.advisories import advisories
from envdoc.doctor.advisories.page import page


def test_an_advisory_is_explained_by_its_id(envdoc):
    """The page that `envdoc why` points to, whatever the case of its letters."""
    told = envdoc("explain", "Adapter-Emptied-By-Override")
    assert 0 == told.returncode
    assert told.stdout.startswith("# adapter-emptied-by-override\n")
    assert "peft>=0.3.0" in told.stdout


def test_a_misspelt_name_is_answered_with_the_nearest(envdoc):
    """Exit code 2 and the ids that were probably meant."""
    told = envdoc("explain", "adapter-emptied-by-overide")
    assert 2 == told.returncode
    assert "`adapter-emptied-by-override`" in told.stderr


def test_all_are_listed(envdoc):
    """`rules --advisories` names each once, as text and as JSON."""
    listed = json.loads(envdoc("rules", "--advisories", "--format", "json").stdout)
    assert [advisory.id for advisory in advisories()] == [row["id"] for row in listed]
    text = envdoc("rules", "--advisories").stdout
    assert [] == [row["id"] for row in listed if f"  {row['id']} " not in text]


@pytest.mark.parametrize("advisory", advisories(), ids=lambda advisory: advisory.id)
def test_each_page_says_what_to_do_and_how_it_is_known(advisory):
    """What goes wrong, whose fault it is, the remedy, and a run, a thread or the reason why there is none."""
    text = page(advisory)
    assert [] == [
        part
        for part in (
            f"# {advisory.id}\n",
            advisory.summary,
            advisory.cause_class,
            "## What to do",
            "## How it is known",
        )
        if part not in text
    ]
