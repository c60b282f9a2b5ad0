"""Proofs are run apart, judged by their last line, and not run again while nothing has changed."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from tiny import FAILS, PASSES, tiny

from envdoc.doctor.advisories import load
from envdoc.doctor.advisories import proof as proofs
from envdoc.doctor.advisories.overlays import overlay, pins, version_over, with_companions
from envdoc.doctor.advisories.proof import (
    base_of,
    is_done,
    read_evidence,
    rows,
    run_row,
    sample,
    write_evidence,
)
from envdoc.doctor.errors import EnvdocError

TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def base():
    """This very interpreter stands for the patient: the made-up reproducers import nothing."""
    return base_of(Path(sys.executable))


def seen(folder, base, tmp_path):
    """What the first proof of the folder shows."""
    return run_row(rows(load(folder), folder)[0], base, pins(folder), tmp_path / "cache", TODAY)


@pytest.mark.parametrize(
    ("script", "fails", "verdict", "good"),
    [
        (FAILS, True, "fails", True),
        (FAILS, False, "fails", False),
        (PASSES, False, "passes", True),
        (PASSES, True, "passes", False),
        ("raise SystemExit(3)", True, "broken", False),
        ("print('no verdict')", True, "broken", False),
        ("print('{\"fault\": 1}')", True, "broken", False),
        ("import nothing_of_this_name", True, "broken", False),
    ],
)
def test_verdict(tmp_path, base, script, fails, verdict, good):
    """A reproducer says fault or no fault; whatever else it does is broken, and never what a proof must show."""
    result = seen(tiny(tmp_path, "example", script, fails), base, tmp_path)
    assert verdict == result.verdict
    assert good is result.as_it_must
    assert "2026-11-24" == result.date


def test_time_limit(tmp_path, base, monkeypatch):
    """A reproducer that hangs is ended at the limit, and that is its verdict."""
    monkeypatch.setattr(proofs, "LIMIT_SECONDS", 0.5)
    result = seen(tiny(tmp_path, "example", "import time; time.sleep(60)"), base, tmp_path)
    assert "timeout" == result.verdict


def test_child_has_nothing_of_the_caller(tmp_path, base, monkeypatch):
    """No variable of the caller's reaches the reproducer but PATH, it runs in an empty folder, and with no hub."""
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SECRET_TOKEN", "x")
    script = (
        "import os\nfrom _verdict import finish\n"
        "strange = sorted(set(os.environ) & {'SECRET_TOKEN', 'HF_TOKEN'})\n"
        "offline = os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "finish(offline and not (strange or os.listdir() or os.environ['PYTHONPATH']), strange)\n"
    )
    assert "fails" == seen(tiny(tmp_path, "example", script), base, tmp_path).verdict


def test_places_of_this_machine_are_not_written(tmp_path, base):
    """What was seen names no folder of the machine: it goes into the repository."""
    script = (
        "import os\nfrom _verdict import finish\n"
        "finish(True, f'cannot import ({os.getcwd()}/a.py) from /some/where/site-packages/peft/__init__.py')\n"
    )
    result = seen(tiny(tmp_path, "example", script), base, tmp_path)
    assert "cannot import (FOLDER/a.py) from .../site-packages/peft/__init__.py" == result.seen


def test_an_unpinned_package_is_broken(tmp_path, base):
    """A proof whose package has no pin shows nothing, and says which."""
    text = '[[proof]]\npackages = ["peft==0.3.0"]\n'
    folder = tiny(tmp_path, "example", FAILS)
    path = folder / "example.toml"
    path.write_text(path.read_text().replace("[[proof]]\npackages = []\n", text))
    result = seen(folder, base, tmp_path)
    assert ("broken", True) == (result.verdict, "`peft==0.3.0` is not in pins.txt" in result.seen)


def test_evidence_is_kept_and_makes_a_second_run_needless(tmp_path, base):
    """The same reproducer, packages and base are done; another reproducer or base is not; a wrong row never is."""
    folder = tiny(tmp_path, "example", FAILS)
    row = rows(load(folder), folder)[0]
    result = seen(folder, base, tmp_path)
    write_evidence(tmp_path / "evidence.json", {"example": [result]}, base)
    evidence = read_evidence(tmp_path / "evidence.json")

    assert {"example": [result]} == evidence
    assert is_done(row, base, evidence)
    assert not is_done(row, replace(base, python="3.99"), evidence)
    assert not is_done(row, base, {"example": [replace(result, verdict="broken")]})
    row.reproducer.write_text(FAILS + "# changed\n")
    assert not is_done(row, base, evidence)


def test_helpers_belong_to_a_reproducer(tmp_path):
    """A change of a helper that the script imports is a change of the reproducer; of another helper it is none."""
    folder = tiny(tmp_path, "example", FAILS)
    before = rows(load(folder), folder)[0].reproducer_sha256
    (folder / "reproducers" / "_other.py").write_text("x = 1\n")
    assert before == rows(load(folder), folder)[0].reproducer_sha256
    (folder / "reproducers" / "_verdict.py").write_text("x = 1\n")
    assert before != rows(load(folder), folder)[0].reproducer_sha256


def test_evidence_is_the_same_text_every_time(tmp_path, base):
    """Rows come sorted, whatever the order in which the runs ended, and rows of unused bases go."""
    folder = tiny(tmp_path, "example", FAILS)
    result = seen(folder, base, tmp_path)
    other = replace(result, packages=("a==1",))
    texts = []
    for order in ([result, other], [other, result]):
        write_evidence(tmp_path / "evidence.json", {"b": order, "a": order, "none": []}, base)
        texts.append((tmp_path / "evidence.json").read_text())
    assert texts[0] == texts[1]
    assert texts[0].index('"a"') < texts[0].index('"b"')
    assert '"none"' not in texts[0]


def test_sample_is_chosen_by_the_day():
    """The same day gives the same rows, another day others, and never more than there are."""
    every = tuple(range(100))
    assert sample(every, 3, TODAY) == sample(every, 3, TODAY)
    assert sample(every, 3, TODAY) != sample(every, 3, date(2026, 11, 25))
    assert every[:2] == sample(every[:2], 3, TODAY)


def test_companions_come_behind_what_is_named(tmp_path):
    """An old release brings what it needs, theirs too; what the proof names itself is not brought again."""
    (tmp_path / "reproducers").mkdir()
    (tmp_path / "reproducers" / "companions.toml").write_text(
        '[[companion]]\npackage = "a"\nversions = "<2"\nneeds = ["b==1", "c==1"]\n'
        '[[companion]]\npackage = "b"\nversions = ">=1"\nneeds = ["d==1"]\n'
    )
    assert ("a==1", "b==1", "c==1", "d==1") == with_companions(["a==1"], tmp_path)
    assert ("a==1", "c==9", "b==1", "d==1") == with_companions(["a==1", "c==9"], tmp_path)
    assert ("a==2",) == with_companions(["a==2"], tmp_path)


def test_version_over():
    """The first overlay's version, else the base's, else none."""
    assert "1" == version_over("a", ["a==1"], {"a": "2"})
    assert "2" == version_over("a", ["b==1"], {"a": "2"})
    assert version_over("a", [], {}) is None


def test_pins_are_hashes(tmp_path):
    """A line that is neither a pin nor a comment is a mistake; a package without a pin is not installed."""
    (tmp_path / "pins.txt").write_text("# words\npeft==0.3.0 --hash=sha256:" + "0" * 64 + "\n")
    assert ["peft==0.3.0"] == list(pins(tmp_path))
    with pytest.raises(EnvdocError, match="not in pins"):
        overlay(Path(sys.executable), "peft==0.4.0", pins(tmp_path), tmp_path)
    (tmp_path / "pins.txt").write_text("peft==0.3.0\n")
    with pytest.raises(ValueError, match=r"peft==0\.3\.0"):
        pins(tmp_path)


def test_an_interpreter_that_does_not_answer(tmp_path):
    """The base must be a Python."""
    with pytest.raises(EnvdocError):
        base_of(tmp_path / "python")
