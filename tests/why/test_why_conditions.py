"""Conditions are three-valued: what the facts do not tell is neither true nor false."""

import json
from pathlib import Path

import pytest

from envdoc.doctor.advisories.conditions import holds
from envdoc.doctor.facts.snapshot import Driver, Gpu, Interpreter, Package, Snapshot, TorchBuild

SNAPSHOT = json.loads(
    Snapshot(
        interpreter=Interpreter(version="3.8.18"),
        packages=(Package("peft", "0.13.2"), Package("huggingface-hub", "0.36.2")),
        torch=TorchBuild("2.0.1+cu117", "11.7", architectures=("sm_80", "sm_86")),
        driver=Driver(cuda="13.0"),
        gpus=(Gpu(0, "NVIDIA H200", "9.0"),),
    ).to_json()
)


@pytest.mark.parametrize(
    ("condition", "facts", "expected"),
    [
        ("peft>=0.3.0,<0.20.0", {"packages": {"peft": "0.13.2"}}, True),
        ("peft>=0.3.0,<0.20.0", {"packages": {"peft": "0.21.2"}}, False),
        ("peft>=0.3.0.dev0", {"packages": {"peft": "0.3.0.dev0"}}, True),
        ("peft>=0.3.0", {"packages": {"transformers": "4.28.1"}}, None),
        ("peft>=0.3.0", {"packages": {"peft": "main branch"}}, None),
        ("python<3.9", {"python": "3.8"}, True),
        ("torch<2.3", {"torch": "2.0.0a0+git5a54537"}, True),
        ("transformers>=4.46", {"package_ranges": {"transformers": ">=4.46"}}, True),
        ("transformers>=4.51", {"package_ranges": {"transformers": ">=4.46"}}, None),
        ("transformers<4.31", {"package_ranges": {"transformers": ">=4.46"}}, False),
        ("transformers>=5", {"package_ranges": {"transformers": "5.x"}}, True),
        ("torch<2.6", {"package_ranges": {"torch": "<2.6"}}, True),
        ("torch>=2.6", {"package_ranges": {"torch": "<2.6"}}, False),
        ("torch<2.6", {"package_ranges": {"torch": "cu130 build"}}, None),
        ("peft>=0.3.0", SNAPSHOT, True),
        ("huggingface_hub<1", SNAPSHOT, True),
        ("huggingface-hub<1", SNAPSHOT, True),
        ("python<3.9", SNAPSHOT, True),
        ("torch<2.6", SNAPSHOT, True),
        ("torch-is-cpu-build", SNAPSHOT, False),
        ("torch-is-cpu-build", {"torch": "2.13.0+cpu"}, True),
        ("torch-is-cpu-build", {}, None),
        ("driver-older-than-torch", SNAPSHOT, False),
        ("driver-older-than-torch", {"torch": "2.13.0+cu130", "driver_cuda": "12.4"}, True),
        ("driver-older-than-torch", {"torch": "2.13.0+cu130"}, None),
        ("torch-lacks-gpu", SNAPSHOT, True),
        ("torch-lacks-gpu", {"torch": "2.0.1", "compute_capability": "8.9"}, False),
        ("torch-lacks-gpu", {"torch": "2.0.1", "compute_capability": "12.0"}, True),
        ("torch-lacks-gpu", {"compute_capability": "12.0"}, None),
    ],
)
def test_condition(condition, facts, expected):
    """A condition holds, does not, or cannot be told, for loose facts, ranges and a snapshot's JSON."""
    assert expected is holds([condition], [], facts)


def test_all_and_any():
    """One false condition decides; one true alternative suffices; nothing to judge is not told."""
    facts = {"packages": {"peft": "0.2.0", "numpy": "2.0"}}
    assert holds(["peft<0.3.0"], ["numpy>=2", "torch<2"], facts) is True
    assert holds(["peft<0.3.0", "torch<2"], [], facts) is None
    assert holds(["peft>=0.3.0", "torch<2"], [], facts) is False
    assert holds(["peft<0.3.0"], ["numpy<2", "torch<2"], facts) is None
    assert holds([], [], facts) is None


def test_unknown_condition_is_a_mistake():
    """A word that is no condition is refused, not passed over."""
    with pytest.raises(ValueError, match="neither a requirement"):
        holds(["full-moon"], [], {})


def test_facts_of_any_shape_do_no_harm():
    """Facts come from a file that anybody wrote."""
    for facts in (
        {"packages": [1, None, {}]},
        {"packages": "x"},
        {"torch": 2.0},
        {"gpus": {}},
        {"driver": [], "torch": {}},
    ):
        for condition in (
            "peft<1",
            "torch<3",
            "torch-lacks-gpu",
            "driver-older-than-torch",
            "torch-is-cpu-build",
        ):
            assert holds([condition], [], facts) in (True, False, None)


def test_snapshot_fixtures_are_read():
    """The recorded snapshots of the repository answer for the packages that they hold."""
    for path in (Path(__file__).parent.parent / "snapshots").glob("*.json"):
        facts = json.loads(path.read_text())
        if any(package["name"] == "torch" for package in facts["packages"]):
            assert holds(["torch>=0"], [], facts) is True
