"""Faults of the host, the GPU, the build and the binaries: the class of a line in words that no advisory quotes."""

import sys
from pathlib import Path

import pytest

from envdoc.doctor.why import why

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LINES = tomllib.loads(Path(__file__).with_name("host_lines.toml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("line", LINES["line"], ids=lambda line: f"{line['cause_class']}: {line['log'][:40]}")
def test_class_comes_first(line):
    """The class is that of the first cause."""
    causes = why(line["log"], line.get("facts"))
    assert line["cause_class"] == (causes[0].cause_class if causes else None)


@pytest.mark.parametrize("log", LINES["harmless"]["logs"], ids=lambda log: log[:50])
def test_harmless_line_has_no_confident_cause(log):
    """No cause at 0.5 or above for a line that is no fault of the environment, or of another program."""
    assert [] == [cause.code for cause in why(log) if cause.confidence >= 0.5]
