"""`envdoc diff`: what the difference of two machines means, before what it is."""

import json
import os
from pathlib import Path

import pytest

from envdoc.doctor.comparison import as_text, compare
from envdoc.doctor.examine import load_snapshot
from envdoc.doctor.facts.snapshot import Package

MACHINES = Path(__file__).resolve().parents[1] / "snapshots"
OLD, NEW = MACHINES / "h100-cu130.json", MACHINES / "gtx1080-driver470.json"


def test_findings_come_first_and_name_their_cause(envdoc):
    """An old driver and an old GPU: each finding is there with the one difference that it is due to."""
    done = envdoc("diff", OLD, NEW, env={**os.environ, "HOME": "/nonexistent"})
    lines = done.stdout.splitlines()

    assert (1, "New findings:") == (done.returncode, lines[0])
    assert lines[lines.index("    due to: driver.cuda") - 1].startswith(
        "  + error DRV010 Driver 470.57.02 is too old"
    )
    assert lines[lines.index("    due to: gpus[0].capability") - 1].startswith("  + error BNB003 ")
    assert "  driver.cuda: 13.0 -> 11.4  (DRV010)" in lines


def test_the_other_way_round_they_are_gone(envdoc):
    """As JSON: findings that only the old machine has, with their causes, and none that appeared."""
    told = json.loads(envdoc("diff", NEW, OLD, "--format", "json").stdout)

    assert [] == told["appeared"]
    assert ["driver.cuda"] == next(c["because"] for c in told["gone"] if c["code"] == "DRV010")
    assert {"key": "driver.cuda", "old": "11.4", "new": "13.0", "explains": ["DRV010"]} in told["differences"]


@pytest.fixture
def machine():
    """A healthy machine, and a function that replaces fields of it."""
    import dataclasses

    snapshot = load_snapshot(OLD)
    return lambda **fields: dataclasses.replace(snapshot, **fields)


def test_a_hundred_packages_come_last(machine):
    """The training stack is before variables, variables before packages of no matter."""
    old = machine()
    new = machine(
        packages=(
            *(p if p.name != "peft" else Package("peft", "0.2.0", p.location) for p in old.packages),
            *(Package(f"a-package-{i}", "1.0", "/x") for i in range(100)),
        ),
        variables={**old.variables, "NCCL_DEBUG": "INFO"},
    )
    keys = [one.key for one in compare(old, new).differences]

    assert ["packages.peft", "variables.NCCL_DEBUG", "packages.a-package-0"] == keys[:3]
    assert 102 == len(keys)


def test_one_package_among_many_is_the_cause(machine):
    """A finding about one package names that one, whatever else changed."""
    old = machine()
    changed = {"numpy": "9.9.9", "packaging": "0.0.1", "urllib3": "0.1"}
    new = machine(
        packages=tuple(
            Package(p.name, changed.get(p.name, p.version), p.location, p.requires) for p in old.packages
        )
    )
    found = compare(old, new)

    assert found.appeared
    for one in found.appeared:
        assert one.because, one.check.title
        assert {f"packages.{name}" for name in changed} > set(one.because)


def test_the_same(machine):
    """Two looks at one machine say nothing, though the free space has changed."""
    assert "The two snapshots say the same.\n" == as_text(compare(machine(), machine(taken_at="later")))
