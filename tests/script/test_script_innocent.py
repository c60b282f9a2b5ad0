"""Scripts as people write them, with the versions they are written for, raise nothing at all."""

from pathlib import Path

import pytest
from script_cases import NEW

from envdoc.doctor.script.judgement import judge
from envdoc.doctor.script.look import look_at

INNOCENT = sorted(
    path for path in (Path(__file__).parent / "innocent").iterdir() if path.suffix in (".py", ".ipynb")
)


def test_there_are_enough():
    """At least fifteen kinds."""
    assert len(INNOCENT) >= 15


@pytest.mark.parametrize("path", INNOCENT, ids=lambda path: path.name)
def test_an_innocent_script_raises_nothing(path):
    """No check, not even a note."""
    (file,) = look_at([path]).files
    versions = {**NEW, "numpy": "2.4.6"}
    assert ("", []) == (
        file.problem,
        [(one.check, one.line, one.subject) for one in file.seen if judge(one.check, one.subject, versions)],
    )
