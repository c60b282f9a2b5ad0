"""The whole snapshot: of the real patient, of broken targets, of a machine that fails a collector."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fakes

from envdoc.doctor.facts import collect as module
from envdoc.doctor.facts.collect import collect
from envdoc.doctor.facts.snapshot import from_json
from envdoc.doctor.finding import Target


def test_a_real_snapshot_survives_json(patient):
    """What was collected equals what is loaded back."""
    snapshot = collect(Target(str(patient), "the tests' patient"))
    assert snapshot == from_json(snapshot.to_json())
    assert () == snapshot.errors
    assert ("the tests' patient", str(patient)) == (snapshot.target_reason, snapshot.interpreter.path)
    assert snapshot.torch.version.startswith(snapshot.package("torch").version.split("+")[0])
    assert snapshot.bitsandbytes.version == snapshot.package("bitsandbytes").version
    assert snapshot.transformers.version == snapshot.package("transformers").version
    assert snapshot.host.cpu_count >= 1 and snapshot.host.glibc and snapshot.host.memory_bytes > 1 << 28


def test_a_quick_look_is_quick(patient, bare_machine):
    """The best of five takes under 0.3 s where a core is free for it (0.05 s on an idle machine with two cores)."""
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        collect(Target(str(patient), "test"), quick=True)
        seconds.append(time.perf_counter() - started)
    waiting_per_core = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert min(seconds) < 0.3 * waiting_per_core, seconds


def test_quick_tells_the_same(patient, bare_machine):
    """Only the driver's time limit is shorter, and fewer installed files are looked at."""

    def steady(snapshot):
        places = [place.path for place in snapshot.storage]
        return {
            **vars(snapshot),
            "taken_at": "",
            "storage": places,
            "system": snapshot.system.limits,  # what is left of the memory changes all the time
            "integrity": snapshot.integrity is not None,
            "extensions": snapshot.extensions is not None,
        }

    target = Target(str(patient), "test")
    assert steady(collect(target)) == steady(collect(target, quick=True))


def test_a_missing_interpreter_leaves_the_machine_told(bare_machine, monkeypatch):
    """The driver and the host are facts with or without a target."""
    fakes.machine(bare_machine, driver="580.95.05")
    for name, value in fakes.driver_variables().items():
        monkeypatch.setenv(name, value)
    snapshot = collect(Target("/nonexistent/python", "given by --python"), quick=True)
    assert "There is no interpreter at `/nonexistent/python`." == snapshot.interpreter.error
    assert ("580.95.05", 1, (), None) == (
        snapshot.driver.version,
        len(snapshot.gpus),
        snapshot.packages,
        snapshot.torch,
    )
    assert snapshot.host.distribution


def test_a_failing_collector_is_an_error_in_the_snapshot(patient, bare_machine, monkeypatch):
    """Its name and its exception are told, and the rest stands."""

    def fail(*_):
        raise PermissionError("closed")

    monkeypatch.setattr(module.packages, "scan", fail)
    monkeypatch.setattr(module, "host", fail)
    snapshot = collect(Target(str(patient), "test"), quick=True)
    assert {("host", "PermissionError: closed"), ("packages", "PermissionError: closed")} == {
        (error.collector, error.message) for error in snapshot.errors
    }
    assert snapshot.interpreter.version and snapshot.torch and snapshot.storage
    assert snapshot == from_json(snapshot.to_json())


def test_a_collector_that_never_ends_is_left_behind(patient, bare_machine, monkeypatch):
    """A dead network disk under one folder costs the limit and that collector."""
    monkeypatch.setattr(module, "LIMIT_SECONDS", 1.0)
    monkeypatch.setattr(module, "storage", lambda *_: time.sleep(30))
    started = time.monotonic()
    snapshot = collect(Target(str(patient), "test"), quick=True)
    assert time.monotonic() - started < 20
    assert [("storage", "It did not finish within 1 s.")] == [
        (e.collector, e.message) for e in snapshot.errors
    ]
    assert () == snapshot.storage


def test_a_kernel_whose_name_is_no_utf8(patient, bare_machine, tmp_path, monkeypatch):
    """The snapshot can be written all the same."""
    folder = os.fsencode(tmp_path / "share/jupyter/kernels") + b"/k\xff"
    Path(os.fsdecode(folder)).mkdir(parents=True)
    with open(folder + b"/kernel.json", "w") as file:  # noqa: PTH123 bytes
        file.write('{"argv": ["/bin/sh"]}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share/jupyter"))
    snapshot = collect(Target(str(patient), "test"), quick=True)
    assert ["k?"] == [one.name for one in snapshot.jupyter.kernels if one.interpreter == "/bin/sh"]
    assert snapshot == from_json(snapshot.to_json().encode("utf-8").decode("utf-8"))


def test_bytes_that_are_no_utf8_do_not_spoil_the_json(patient, bare_machine, monkeypatch):
    """A variable with any bytes in it is told with a question mark for them."""
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/caf\udce9/lib")
    snapshot = collect(Target(str(patient), "test"), quick=True)
    assert "/opt/caf?/lib" == snapshot.variables["LD_LIBRARY_PATH"]
    assert snapshot == from_json(snapshot.to_json().encode("utf-8").decode("utf-8"))


def test_torch_is_never_imported(bare_machine, tmp_path, monkeypatch, patient):
    """A torch whose import raises, laid over the real one, is described and not run."""
    fakes.torch_package(tmp_path / "overlay", "2.0.1+cu117", "11.7", "sm_80 sm_86")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "overlay"))
    snapshot = collect(Target(str(patient), "test"), quick=True)
    assert ("2.0.1+cu117", ("sm_80", "sm_86")) == (snapshot.torch.version, snapshot.torch.architectures)
    assert "2.0.1" == snapshot.package("torch").version


def test_a_deleted_working_folder(tmp_path, bare_machine, monkeypatch):
    """Every other folder is told all the same."""
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PWD", str(folder))
    folder.rmdir()
    snapshot = collect(Target("/nonexistent/python", "test"), quick=True)
    assert () == snapshot.errors
    assert (str(folder), False) == (snapshot.storage_for("work").path, snapshot.storage_for("work").exists)


def test_an_interrupt_ends_the_child_that_hangs(tmp_path):
    """Ctrl-C while the target hangs takes the target along and leaves no process behind."""
    marker = f"sleep 61{os.getpid()}"
    fakes.program(tmp_path, "python", f"exec {marker}")
    code = f"""
from envdoc.doctor.facts.collect import collect
from envdoc.doctor.finding import Target
collect(Target({str(tmp_path / "python")!r}, "test"))
"""
    child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not running(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running(marker)
    time.sleep(0.5)  # the child runs a moment before the parent has come back from starting it
    child.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in child.communicate(timeout=20)[1]
    assert not running(marker)


def running(command):
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command.split() == path.read_text().rstrip("\0").split("\0"):
                return True
        except OSError:  # it ended while we looked
            continue
    return False
