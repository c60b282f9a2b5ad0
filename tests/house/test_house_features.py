"""docs/features.md promises nothing that is not there: rows, commands, options and codes."""

import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

import pytest

from envdoc.doctor.rules.registry import all_rules

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "features.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| \d", line)
]
TRAINERS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| T\d", line)
]
CODES = [rule.code for rule in all_rules()]


@lru_cache(maxsize=None)
def help_of(command):
    """What `envdoc COMMAND --help` prints, on a line wide enough for every option."""
    completed = subprocess.run(
        [str(Path(sys.executable).parent / "envdoc"), command, "--help"],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "300", "NO_COLOR": "1"},
        check=True,
    )
    return completed.stdout


def test_every_row_of_the_study_is_there():
    """74 rows, in their order, each with a feature and a command."""
    assert list(range(1, 75)) == [int(row[0]) for row in ROWS]
    assert [] == [row for row in ROWS if len(row) != 4 or not row[1] or not row[2]]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_the_command_exists(row):
    """Each command is one of envdoc's, or a script of this repository, and has the options that it is given."""
    words = row[2].strip("`").split()
    if words[0] != "envdoc":
        assert (ROOT / words[0]).is_file()
        return
    known = help_of(words[1])
    assert [] == [word for word in words[2:] if word.startswith("-") and f"{word} " not in known + " "]


def test_every_code_exists():
    """A code or prefix in the table belongs to a rule."""
    told = set(re.findall(r"\b(?:DRV|GPU|TOR|PKG|BNB|PFT|TRF|TOK|SYS|NET|CFG)\d{2,3}\b", TEXT))
    assert set() == {code for code in told if not any(known.startswith(code) for known in CODES)}


def test_every_row_of_the_trainers_study_is_there():
    """74 rows, in their order: yes, part or no, and what shows each that is not no."""
    assert list(range(1, 75)) == [int(row[0][1:]) for row in TRAINERS]
    assert [] == [row for row in TRAINERS if len(row) != 5 or row[2] not in ("yes", "part", "no")]
    assert [] == [row for row in TRAINERS if row[2] != "no" and not row[3]]


@pytest.mark.parametrize("row", TRAINERS, ids=[row[0] for row in TRAINERS])
def test_what_shows_a_feature_of_the_trainer_exists(row):
    """A test by its file and name, a script or page of this repository, or a command of envdoc's with its options."""
    shown = row[3].strip("`")
    file, _, name = shown.partition("::")
    if name:
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
    elif shown.startswith("envdoc "):
        words = shown.split()
        assert [] == [word for word in words[2:] if word.startswith("-") and word not in help_of(words[1])]
    elif shown:
        assert (ROOT / file).is_file()
