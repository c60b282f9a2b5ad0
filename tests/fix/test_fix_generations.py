"""Generations, the link and the journal: whole or not there, and a way back."""

import json

import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.home import current_python

RECEIPT = {
    "profile": "tiny",
    "lock_sha256": "ab" * 32,
    "python_version": "3.11.7",
    "date": "2026-11-24",
    "bytes": 5,
}


def build(generations, lock="ab" * 32):
    """A whole generation without packages."""
    folder = generations.begin("tiny", lock)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").write_text("#!/bin/sh\n")
    return generations.complete(folder, dict(RECEIPT, lock_sha256=lock, packages={"alpha": "1.0"}))


@pytest.fixture
def generations(tmp_path):
    """Over an empty folder."""
    made = Generations(tmp_path / "home")
    with made.locked():
        pass
    return made


def test_a_switch_is_seen_by_whoever_asks_for_the_current_python(generations):
    """home.current_python and Generations agree."""
    made = generations.switch(build(generations))
    assert made.is_current
    assert made == generations.current()
    assert generations.home / "current" / "bin" / "python" == current_python(generations.home)


def test_an_incomplete_generation_is_not_listed_and_is_removed(generations):
    """The marker, or a receipt that cannot be read, means: not whole."""
    whole = generations.switch(build(generations))
    interrupted = generations.begin("tiny", "cd" * 32)
    damaged = build(generations, "ef" * 32)
    (damaged.folder / "envdoc-receipt.json").write_text("{half")
    assert [whole.name] == [item.name for item in generations.list()]
    assert {interrupted.name, damaged.name} == set(generations.remove_incomplete())
    assert [whole.name] == [path.name for path in (generations.home / "envs").iterdir()]


def test_a_number_is_never_used_twice(generations):
    """Not even after its generation was removed: the journal stays unambiguous."""
    first = build(generations)
    generations.discard(first.folder)
    assert 2 == build(generations).number


def test_rollback_goes_further_back_each_time_and_never_forth(generations):
    """Order of use: 1, 2, 3, then 1 again; back to 3, 2, 1, then none is in use, and there it ends."""
    made = [generations.switch(build(generations, letter * 64)) for letter in "abc"]
    generations.switch(made[0])
    assert [3, 2, 1] == [generations.rollback().number for _ in range(3)]
    assert (None, None, None) == (
        generations.rollback(),
        generations.current(),
        current_python(generations.home),
    )
    with pytest.raises(FixError, match="There is no current generation"):
        generations.rollback()
    assert 3 == len(generations.list())


def test_after_the_way_back_to_none_a_generation_can_be_used_again(generations):
    """The order of use starts afresh."""
    one, two = (generations.switch(build(generations, letter * 64)) for letter in "ab")
    assert [one.number, None] == [getattr(generations.rollback(), "number", None) for _ in range(2)]
    assert two.number == generations.switch(two).number
    assert None is generations.rollback()


def test_after_a_rollback_a_new_switch_can_be_taken_back(generations):
    """1, 2, back to 1, then 3: the generation before 3 is 1."""
    one, two = (generations.switch(build(generations, letter * 64)) for letter in "ab")
    assert one.number == generations.rollback().number
    three = generations.switch(build(generations, "c" * 64))
    assert (2, 3) == (two.number, three.number)
    assert 1 == generations.rollback().number


def test_a_kill_between_journal_and_link_counts_as_no_switch(generations):
    """The journal names a switch that did not happen: the link decides."""
    one, two = (generations.switch(build(generations, letter * 64)) for letter in "ab")
    three = build(generations, "c" * 64)
    with (generations.home / "journal.jsonl").open("a") as file:
        file.write(json.dumps({"event": "switch", "name": three.name}) + "\n")
    assert two.number == generations.current().number
    assert one.number == generations.rollback().number


def test_a_journal_that_ends_in_half_a_line_is_read_and_written_on(generations):
    """A full disk may cut a line: the events before and after it stand."""
    generations.switch(build(generations, "a" * 64))
    with (generations.home / "journal.jsonl").open("a") as file:
        file.write('{"event": "swi')
    generations.switch(build(generations, "b" * 64))
    assert 1 == generations.rollback().number


def test_rollback_without_a_generation_is_one_sentence(generations):
    """Nothing built yet."""
    with pytest.raises(FixError, match="There is no current generation"):
        generations.rollback()


def test_tidying_keeps_the_current_one_and_the_one_to_go_back_to(generations):
    """Four were used; the two used last stay, and what was interrupted goes."""
    for letter in "abcd":
        generations.switch(build(generations, letter * 64))
    generations.begin("tiny", "ff" * 32)
    assert [1, 2] == [item.number for item in generations.remove_unused(keep=2)]
    assert [3, 4] == [item.number for item in generations.list()]
    assert 2 == len(list((generations.home / "envs").iterdir()))
    assert 3 == generations.rollback().number


def test_a_folder_in_the_place_of_the_link_is_never_replaced(generations):
    """`current` that is a real folder is somebody's own: a sentence, and it stays."""
    (generations.home / "current").mkdir()
    (generations.home / "current" / "mine").write_text("x")
    with pytest.raises(FixError, match=r"current` is no link of envdoc.s own"):
        generations.switch(build(generations))
    assert "x" == (generations.home / "current" / "mine").read_text()


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    """ENVDOC_HOME under a file."""
    (tmp_path / "file").write_text("")
    with pytest.raises(FixError, match="cannot be written"), Generations(tmp_path / "file" / "home").locked():
        pass
