"""The advisories as data: complete, honest about what was run and when."""

import re
from pathlib import Path

import pytest

from envdoc.doctor.advisories import _load, advisories, symptom
from envdoc.doctor.advisories.conditions import holds

TAXONOMY = Path(__file__).with_name("taxonomy.txt").read_text().splitlines()[1:]


def every():
    return pytest.mark.parametrize("advisory", advisories(), ids=lambda advisory: advisory.id)


@every()
def test_advisory_is_complete(advisory):
    """Each names a class of the taxonomy, can show itself, says what was seen and when, and ends its sentences."""
    assert advisory.cause_class in TAXONOMY
    assert 80 > len(advisory.summary)
    assert advisory.symptom or advisory.weak_symptom
    assert advisory.evidence
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\d", row.date) for row in advisory.evidence)
    assert [True] * 3 == [
        text.endswith(".") for text in (advisory.details, advisory.cause, advisory.remedy.advice)
    ]
    assert all(re.fullmatch(r"[\w.-]+/[\w.-]+#\d+", link) for link in advisory.links)


@every()
def test_reproducer_exists(advisory):
    """A reproducer that is named is a script of reproducers/."""
    scripts = (
        Path(__file__).resolve().parents[2] / "doctor" / "advisories" / "reproducers"
    )  # not in the wheel
    assert not advisory.reproducer or (scripts / f"{advisory.reproducer}.py").is_file()


@every()
def test_conditions_can_be_read(advisory):
    """Every condition is a requirement or a known word: with no facts it is neither true nor false."""
    assert holds(advisory.conditions, advisory.when.any, {}) is None


@every()
def test_no_symptom_matches_everything(advisory):
    """No pattern matches an ordinary log, or nothing at all."""
    log = "loading checkpoint shards: 100%\n{'loss': 1.25, 'learning_rate': 0.0002, 'epoch': 0.5}\nsaved to out\n"
    assert [] == [
        p.pattern for p in advisory.symptom + advisory.weak_symptom if p.search(log) or p.search("")
    ]


@pytest.mark.parametrize(
    "text",
    [
        'id = "other"\nkind = "host"\n',
        'id = "broken"\nkind = "fate"\n',
        'id = "broken"\nkind = "host"\ncolour = "red"\n',
        'id = "broken"\nkind = "host"\nsymptom = ["("]\n',
        'id = "broken"\nkind = "host"\n',
    ],
)
def test_a_file_that_is_no_advisory_is_refused(tmp_path, text):
    """Another id than the file's name, an unknown kind or key, a broken pattern or a missing key is an error."""
    path = tmp_path / "broken.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"broken\.toml"):
        _load(path)


def test_a_space_in_a_symptom_matches_a_wrapped_line():
    """Terminals wrap long lines; a symptom is found across the break, in either case."""
    assert symptom("no kernel image").search("error: No kernel\n    IMAGE is available")
