"""The whole line on a real environment: fix built it, check passes it, train trains in it, verify believes it."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEALTHY = {"GPU001"}  # the one thing that a machine without a GPU has to be told


@pytest.mark.slow
def test_check_of_a_healthy_environment(envdoc, patient):
    """With every probe run in it: no error, no warning, nothing but the missing GPU; exit code 0."""
    done = envdoc("check", "--format", "json", "--python", patient)

    assert 0 == done.returncode, done.stdout
    checks = json.loads(done.stdout)["checks"]
    assert HEALTHY >= {check["code"] for check in checks if check["status"] == "fail"}
    assert set() == {check["code"] for check in checks if check["status"] == "crashed"}


def test_quick_check_needs_no_probe(envdoc, patient):
    """--quick judges files only, says which interpreter it examined, and finds the same nothing."""
    done = envdoc("check", "--quick", "--python", patient)

    assert (0, "") == (done.returncode, done.stderr)
    assert "given by --python" in done.stdout.splitlines()[0]


def test_a_machine_that_is_not_here(envdoc, patient, tmp_path):
    """`facts -o FILE` and `check --facts FILE` judge alike; `diff` of a snapshot with itself is empty."""
    assert 0 == envdoc("facts", "--python", patient, "-o", "facts.json").returncode
    here = json.loads(envdoc("check", "--quick", "--python", patient, "--format", "json").stdout)
    there = json.loads(envdoc("check", "--facts", "facts.json", "--format", "json").stdout)

    def verdicts(report):
        return [(check["code"], check["status"]) for check in report["checks"]]

    assert verdicts(here) == verdicts(there)
    same = envdoc("diff", "facts.json", "facts.json")
    assert (0, "The two snapshots say the same.\n") == (same.returncode, same.stdout)


def test_diff_names_what_changed(envdoc, patient, tmp_path):
    """What decides most comes first, each with both sides."""
    assert 0 == envdoc("facts", "--python", patient, "-o", "new.json").returncode
    snapshot = json.loads((tmp_path / "new.json").read_text(encoding="utf-8"))
    peft = next(package for package in snapshot["packages"] if package["name"] == "peft")
    new, peft["version"] = peft["version"], "0.2.0"
    snapshot["variables"]["NCCL_DEBUG"] = "INFO"
    (tmp_path / "old.json").write_text(json.dumps(snapshot), encoding="utf-8")

    done = envdoc("diff", "old.json", "new.json")

    lines = done.stdout.splitlines()
    assert (1, "Gone findings:") == (done.returncode, lines[0])
    assert "    due to: packages.peft" in lines
    assert [f"  packages.peft: 0.2.0 -> {new}", "  variables.NCCL_DEBUG: INFO -> absent"] == [
        line.partition("  (")[0] for line in lines[-2:]
    ]


def test_select_and_fail_on(envdoc, patient):
    """--select keeps codes by prefix; --fail-on decides which severity is exit code 1."""
    missing = ("check", "--quick", "--python", os.path.realpath("/usr/bin/env"), "--format", "json")
    done = envdoc(*missing, "--select", "CFG")

    assert {"CFG"} == {check["code"][:3] for check in json.loads(done.stdout)["checks"]}
    assert 0 == envdoc(*missing, "--fail-on", "never").returncode


@pytest.mark.slow
def test_train_and_verify(envdoc, patient, tmp_path):
    """A run file and a replaced value; the adapter is proved twice; its receipt names environment and lock."""
    example = ROOT / "examples" / "quickstart.yaml"
    done = envdoc("train", example, "train.epochs=2", "name=short", "proof=same", "--python", patient)

    assert 0 == done.returncode, done.stderr
    adapter = tmp_path / "runs" / "short" / "adapter"
    assert (adapter.parent / "loss.png").read_bytes().startswith(b"\x89PNG")
    receipt = json.loads((adapter / "envdoc-receipt.json").read_text(encoding="utf-8"))
    assert {"profile": "cpu-py311"}.items() <= (receipt["lockfile"] or {"profile": "cpu-py311"}).items()
    verified = envdoc("verify", adapter, "--python", patient, "--format", "json")
    assert 0 == verified.returncode, verified.stderr
    assert json.loads(verified.stdout)


def test_train_where_nothing_can_be_trained(envdoc, interpreter, tmp_path):
    """An interpreter without torch is misuse: one sentence, the command that mends it, exit code 2."""
    done = envdoc("train", "--python", interpreter("3.13"))

    assert (2, "") == (done.returncode, done.stdout)
    assert "has no torch, transformers, peft" in done.stderr
    assert "envdoc fix --apply" in done.stderr


def test_why_names_the_cause_of_a_log(envdoc):
    """A log on standard input, a cause with its class and a remedy out; an empty list for what nobody knows."""
    log = "RuntimeError: CUDA error: no kernel image is available for execution on the device\n"
    known = json.loads(envdoc("why", "--format", "json", input=log).stdout)
    unknown = envdoc("why", "-", "--format", "json", input="all went well\n")

    assert "torch-arch-mismatch" == known["causes"][0]["cause_class"]
    assert known["causes"][0]["remedy"]
    assert (0, []) == (unknown.returncode, json.loads(unknown.stdout)["causes"])


def test_run_enters_the_current_generation(envdoc, patient, tmp_path, monkeypatch):
    """`envdoc run -- python` is the generation's own, whatever else is active."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "current").symlink_to(patient.parent.parent)
    monkeypatch.setenv("ENVDOC_HOME", str(home))

    done = envdoc("run", "--", "python", "-c", "import sys; print(sys.prefix)")

    assert str(patient.parent.parent) == done.stdout.strip()
