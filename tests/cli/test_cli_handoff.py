"""What crosses from the doctor to the pipeline, and what does not."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor import handoff
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import Interpreter, Package, Snapshot


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A function that puts a script in the pipeline's place; it is started as the pipeline is."""

    def place(body):
        script = tmp_path / "launch.py"
        script.write_text("import json, os, signal, sys\n" + body, encoding="utf-8")
        monkeypatch.setattr(handoff, "launcher", lambda: script)

    return place


def test_the_pipeline_is_where_the_package_says():
    """launch.py is found without importing the pipeline."""
    before = "envdoc.train.launch" in sys.modules  # another test may have imported it
    assert "launch.py" == handoff.launcher().name
    assert handoff.launcher().is_file()
    assert before == ("envdoc.train.launch" in sys.modules)


def test_the_exit_status_and_the_context_pass_through(pipeline):
    """The child's status is ours, and it reads the context from a file that is gone afterwards."""
    pipeline("path = sys.argv[-1]; sys.exit(json.load(open(path))['status'])")

    assert 7 == handoff.launch(sys.executable, ["train"], {"status": 7})


def test_a_gpu_without_code_is_hidden(pipeline):
    """An environment that was built for the CPU never tries the GPU."""
    pipeline("sys.exit(5 if os.environ.get('CUDA_VISIBLE_DEVICES') == '' else 0)")

    assert 5 == handoff.launch(sys.executable, [], hide_gpus=True)
    assert 0 == handoff.launch(sys.executable, [])


def test_a_signal_is_told_by_name(pipeline):
    """A child that the kernel kills is one sentence, not a status nobody knows."""
    pipeline("os.kill(os.getpid(), signal.SIGKILL)")

    with pytest.raises(EnvdocError, match="SIGKILL"):
        handoff.launch(sys.executable, [])


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_request_to_stop_is_handed_on(name, tmp_path):
    """A supervisor that stops envdoc stops the run too, which then saves what is whole."""
    (tmp_path / "launch.py").write_text(
        "import signal, sys, time\n"
        f"signal.signal(signal.{name}, lambda *_: sys.exit(33))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n",
        encoding="utf-8",
    )
    parent = (
        "import pathlib, sys\n"
        "from envdoc.doctor import handoff\n"
        "handoff.launcher = lambda: pathlib.Path(sys.argv[1])\n"
        "sys.exit(handoff.launch(sys.executable, []))\n"
    )
    command = [sys.executable, "-c", parent, str(tmp_path / "launch.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert b"ready\n" == process.stdout.readline()
        process.send_signal(getattr(signal, name))

        assert 33 == process.wait(timeout=30)


def test_the_doctors_python_home_stays_behind(pipeline, monkeypatch):
    """PYTHONHOME of the doctor's environment would break the target's."""
    pipeline("sys.exit('PYTHONHOME' in os.environ)")
    monkeypatch.setenv("PYTHONHOME", "/no/such")

    assert 0 == handoff.launch(sys.executable, [])


def test_context_names_versions_and_lock_and_no_secret(tmp_path):
    """Facts are redacted, packages are names and versions, the lock comes from the generation's receipt."""
    receipt = {"profile": "cpu-py311", "lock_sha256": "ab" * 32, "device": "cpu"}
    (tmp_path / handoff.RECEIPT).write_text(json.dumps(receipt), encoding="utf-8")
    snapshot = Snapshot(
        interpreter=Interpreter(prefix=str(tmp_path)),
        packages=(Package("torch", "2.13.0"),),
        variables={"PIP_INDEX_URL": "https://me:secret@index.example/simple"},
    )

    told = handoff.context(snapshot)

    assert {"profile": "cpu-py311", "sha256": "ab" * 32} == told["lockfile"]
    assert {"torch": "2.13.0"} == told["facts"]["packages"]
    assert "secret" not in json.dumps(told)
    assert handoff.is_for_cpu(str(tmp_path))
    assert (None, False) == (handoff.lockfile_of("/no/such"), handoff.is_for_cpu("/no/such"))


@pytest.mark.parametrize("text", ["", "[]", "{}", "no JSON"])
def test_a_receipt_that_is_none(text, tmp_path):
    """Whatever lies there, no lock is claimed."""
    Path(tmp_path / handoff.RECEIPT).write_text(text, encoding="utf-8")

    assert (None, False) == (handoff.lockfile_of(str(tmp_path)), handoff.is_for_cpu(str(tmp_path)))
