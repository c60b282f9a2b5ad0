"""Rules of other packages: found by their entry point, treated like ours, and never the end of a run."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MACHINE = ROOT / "tests" / "snapshots" / "h200-cu130.json"
EXAMPLE = re.search(r"```python\n(.*?)```", (ROOT / "docs/plugins.md").read_text(encoding="utf-8"), re.DOTALL)
GOOD = EXAMPLE.group(1).replace('"2.13.0"', '"9.9"')  # no recorded machine has that


@pytest.fixture
def with_plugin(tmp_path, envdoc):
    """A function that installs packages ({name: source}) beside envdoc and runs `envdoc ARGUMENTS` with them."""

    def run(packages, *arguments):
        for name, source in packages.items():
            (tmp_path / "site" / f"{name}-1.2.dist-info").mkdir(parents=True)
            (tmp_path / "site" / f"{name}.py").write_text(source, encoding="utf-8")
            info = tmp_path / "site" / f"{name}-1.2.dist-info"
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n", encoding="utf-8"
            )
            (info / "entry_points.txt").write_text(f"[envdoc.rules]\nx = {name}\n", encoding="utf-8")
        return envdoc(*arguments, env={**os.environ, "PYTHONPATH": str(tmp_path / "site")})

    return run


def test_a_rule_of_another_package(with_plugin):
    """The example of the documentation is run, is in the report, and is named with its package's version."""
    done = with_plugin({"acme_rules": GOOD}, "check", "--facts", MACHINE, "--format", "json")
    report = json.loads(done.stdout)
    (check,) = (c for c in report["checks"] if c["code"] == "ACM001")

    assert ("fail", "warning", ["envdoc fix --apply"]) == (
        check["status"],
        check["severity"],
        check["fix"]["commands"],
    )
    assert re.fullmatch(r"torch 2\.\S+ is here, ACME approved 2\.13\.0", check["title"])
    assert report["rules_version"].endswith("+acme_rules-1.2")
    assert "" == done.stderr


def test_it_is_listed_and_explained(with_plugin):
    """`explain` and `--select` know its code too."""
    explained = with_plugin({"acme_rules": GOOD}, "explain", "ACM001")
    selected = with_plugin({}, "check", "--facts", MACHINE, "--select", "ACM", "--format", "json")

    assert explained.stdout.startswith("# ACM001: torch-not-approved")
    assert ["ACM001"] == [c["code"] for c in json.loads(selected.stdout)["checks"]]


BROKEN = {
    "an import that fails": ("import no_such_module\n", "ModuleNotFoundError"),
    "an exit": ("raise SystemExit(3)\n", "SystemExit"),
    "no messages": ("x = 1\n", "AttributeError"),
    "a prefix of ours": (GOOD.replace("ACM001", "TOR900"), "`TOR900` is no code"),
    "a code of ours": (GOOD.replace("ACM001", "TOR001"), "Two rules claim the code TOR001"),
    "a code that is none": (GOOD.replace("ACM001", "acme"), "`acme` is no code"),
    "a rule without words": (GOOD + '\n@rule("ACM002")\ndef other(machine):\n    return []\n', "ACM002"),
    "an unknown severity": (GOOD.replace('"warning"', '"fatal"'), "'fatal' is not a valid Severity"),
    "an unknown key": (GOOD.replace('"summary"', '"sumary"'), "TypeError"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_package(case, with_plugin, envdoc):
    """It is left out as a whole with a warning that names it; every other rule is judged as without it."""
    source, expected = BROKEN[case]
    command = ("check", "--facts", MACHINE, "--format", "json")

    done = with_plugin({"broken_rules": source, "sound_rules": GOOD}, *command)
    without = envdoc(*command)
    codes = [c["code"] for c in json.loads(done.stdout)["checks"] if c["code"] != "ACM001"]

    assert without.returncode == done.returncode
    assert done.stderr.startswith("warning: The rules of `broken_rules` were left out: ")
    assert expected in done.stderr
    assert 1 == len(done.stderr.splitlines())
    assert "ACM001" in done.stdout
    assert [c["code"] for c in json.loads(without.stdout)["checks"]] == codes


def test_a_rule_that_fails(with_plugin):
    """It is a check that crashed, like any of ours."""
    source = GOOD.replace("if machine.torch is None:", "if machine.no_such_fact:")
    done = with_plugin({"acme_rules": source}, "check", "--facts", MACHINE, "--format", "json")
    (check,) = (c for c in json.loads(done.stdout)["checks"] if c["code"] == "ACM001")

    assert "crashed" == check["status"]
    assert "no_such_fact" in check["detail"]
