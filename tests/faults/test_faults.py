"""Each fault is named by envdoc, and nothing that is not its consequence is called an error."""

import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from box import Box
from fault import findings, raised
from faults import HEALTHY, NAMED, NOT_NAMED

ENVDOC = Path(sys.executable).parent / "envdoc"
HUB_TOKEN = "hf_" + "AbCdEfGhIjKlMnOpQrStUvWxYz01234567"
PASSWORD = "correct-horse-battery"


@pytest.fixture(scope="session")
def before(patient, tmp_path_factory):
    """What the healthy machines show: notes about this machine, and never an error."""
    found = []
    for healthy in HEALTHY:
        box = Box(patient, tmp_path_factory.mktemp("healthy") / healthy.__name__)
        healthy(box)
        found += findings(ENVDOC, box)
    return found


@pytest.fixture(scope="session", autouse=True)
def original_untouched(patient):
    """No fault reaches the environment that the clones are made from."""
    known = listing(patient)
    yield
    assert known == listing(patient)


def listing(python):
    """Each file of the environment with its size and the time of its last change."""
    files = (path for path in python.parent.parent.rglob("*") if "__pycache__" not in path.parts)
    return {(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()}


def parameters():
    """One parameter a fault; those that need the whole check are slow."""
    return [
        pytest.param(
            fault, id=f"{fault.id}-{fault.function.__name__}", marks=() if fault.quick else pytest.mark.slow
        )
        for fault in NAMED.values()
    ]


def test_there_are_as_many_faults_as_were_promised():
    """At least 60 faults are named, and each tells how another tool would have named it."""
    assert len(NAMED) >= 60
    assert [] == [fault.id for fault in (*NAMED.values(), *NOT_NAMED.values()) if not fault.says]


def test_healthy_machines_raise_nothing(before):
    """Neither an error nor a warning on a clone that nothing was done to, with a GPU and without."""
    assert [] == [check["title"] for check in before if check["severity"] != "info"]


@pytest.mark.parametrize("fault", parameters())
def test_fault_is_named(fault, patient, tmp_path, before):
    """One of the fault's codes is raised, and every error is one of its consequences."""
    box = Box(patient, tmp_path / "box")
    fault.function(box)
    found = raised(findings(ENVDOC, box, fault.quick), before)
    codes = {check["code"] for check in found}
    assert fault.names & codes, f"{fault.title} Raised: {sorted(codes)}"
    expected = (*fault.names, *fault.also)
    assert [] == [
        c["title"] for c in found if c["severity"] == "error" and not c["code"].startswith(expected)
    ]


def test_secrets_stay_out_of_the_report(patient, tmp_path):
    """S14: a token and a password in an index's address appear in no report and no snapshot."""
    box = Box(patient, tmp_path / "box")
    box.gpu_machine(fakes.H100)
    box.environ.update(
        HF_TOKEN=HUB_TOKEN,
        PIP_INDEX_URL=f"https://me:{PASSWORD}@index.example/simple",
        PYTORCH_SECRET_TOKEN=HUB_TOKEN,
        CUDA_FOO=f"https://me:{PASSWORD}@example.org",
        HF_HUB_OFFLINE="1",
    )
    for arguments in (["check", "--quick", "-v", "--python"], ["facts", "--python"]):
        completed = subprocess.run(
            [str(ENVDOC), *arguments, str(box.clone.python)],
            env=box.environ,
            cwd=box.work,
            capture_output=True,
        )
        said = (completed.stdout + completed.stderr).decode("utf-8", "replace")
        assert completed.returncode == 0, said
        assert (False, False) == (HUB_TOKEN in said, PASSWORD in said)
