"""The patterns of the advisories: as fast on hostile lines as on others, and looked for only where they can be."""

import time

import pytest

from envdoc.doctor import advisories as room
from envdoc.doctor.advisories import Advisory, advisories, advisories_in_toml
from envdoc.doctor.advisories.symptoms import Symptom, required_words, spaced

LENGTH = 20_000  # characters; a pattern that is quadratic in them takes seconds
LIMIT_SECONDS = 0.4
HOSTILE = {
    "spaces": " " * LENGTH,
    "one letter": "a" * LENGTH,
    "digits": "1" * LENGTH,
    "underscores": "x_" * (LENGTH // 2),
    "brackets": "[" * (LENGTH // 2) + "]" * (LENGTH // 2),
    "quotes": "'" * LENGTH,
    "path": "/a" * (LENGTH // 2),
    "version": "1.2." * (LENGTH // 4),
    "empty lines": "\n \n" * (LENGTH // 3),
    "words": "no module named " * (LENGTH // 16),
}


@pytest.mark.parametrize("hostile", HOSTILE)
def test_no_pattern_backtracks_without_bound(hostile):
    """Every pattern of every advisory gives up on a long hostile line at once."""
    slow = []
    for advisory in advisories():
        for symptom in advisory.symptom + advisory.weak_symptom:
            _ = symptom.compiled
            started = time.process_time()
            symptom.search(HOSTILE[hostile])
            if time.process_time() - started > LIMIT_SECONDS:
                slow.append((advisory.id, symptom.pattern))
    assert [] == slow


def test_the_words_of_a_pattern_are_in_its_own_matches():
    """A prefilter that is wrong would hide a cause: words are those without which nothing can match."""
    for pattern, text in (
        ("undefined symbol: \\w{1,80}", "X.so: undefined symbol: _Z3"),
        ("(?:no|missing) kernel", "No kernel image"),
        ("GLIBC(?:XX)?_[\\d.]{1,9}' not found", "version `GLIBC_2.34' not found"),
        ("colou?r of (?:red|blue)", "COLOR of blue"),
    ):
        words = required_words(pattern)
        assert Symptom(pattern).search(text)
        assert words
        assert any(word in text.lower() for word in words)
    assert () == required_words("\\d{1,3}%")
    assert ("loss",) == required_words("loss.{0,20}nan|loss is 0")


def test_nearly_every_pattern_has_words():
    """Patterns without one are tried on every line: a few can be borne."""
    without = [
        symptom.pattern
        for advisory in advisories()
        for symptom in advisory.symptom + advisory.weak_symptom
        if not symptom.words
    ]
    assert 5 >= len(without)


def test_a_space_of_a_class_stays_one():
    """Only a plain space stands for a run of white space, and an escaped one too."""
    assert r"a\s{1,200}b[ c]\s{1,200}\\\s{1,200}" == spaced("a b[ c]\\ \\\\ ")


def test_json_is_what_the_files_say():
    """advisories.json is written by `scripts/rules-docs`; run that after a change of a TOML file."""
    assert advisories_in_toml() == (room.FOLDER / "advisories.json").read_text(encoding="utf-8")


def test_json_and_files_give_the_same_advisories():
    """Nothing is lost on the way through JSON."""
    shown = [(one.id, one.affected, one.when, one.remedy, one.proof) for one in room.load(room.FOLDER)]
    assert shown == [(one.id, one.affected, one.when, one.remedy, one.proof) for one in advisories()]
    assert all(isinstance(one, Advisory) for one in advisories())
