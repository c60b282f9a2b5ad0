"""Every way in which a probe can end is a result, and nothing of it is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.probes import runner
from envdoc.doctor.probes.runner import run_probes

PROBES = Path(runner.__file__).parent


def ended(result):
    return result.status, result.error


def test_json_is_taken_from_the_last_line(scripts):
    """What a library prints before, or on stdout through the probe's own descriptor, does no harm."""
    (result,) = scripts(good='import _probe\nprint("welcome to bitsandbytes")\n_probe.finish({"sum": 3})')
    assert ("ran", {"sum": 3}) == (result.status, result.data)


def test_garbage_is_a_crash(scripts):
    """A child that ends well and prints no JSON has crashed, and what it printed is shown."""
    (result,) = scripts(garbage='print("\\udcff \\x00 <html>".encode("utf-8", "surrogateescape"))')
    assert "crashed" == result.status
    assert "printed no result on its last line, but: b'\\xff \\x00 <html>'" == result.error


def test_json_that_is_no_object_is_a_crash(scripts):
    """A number or a list is JSON, and no result."""
    assert ["crashed", "crashed"] == [r.status for r in scripts(number="print(3)", silent="pass")]


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGABRT", "SIGKILL"])
def test_a_signal_is_named_with_the_stage(scripts, name):
    """A signal is named, with what the child was doing."""
    source = f'import os, signal, _probe\n_probe.at("importing torch")\nos.kill(os.getpid(), signal.{name})'
    assert [("signal", f"{name} while importing torch")] == [ended(r) for r in scripts(dies=source)]


def test_a_traceback_becomes_one_line(scripts):
    """The exception at the end of a traceback is shown with its whole message on one line."""
    source = 'import _probe\n_probe.at("loading")\nraise RuntimeError("look up\\nto see\\n\\nwhy")'
    assert [("crashed", "RuntimeError: look up to see why while loading")] == [
        ended(r) for r in scripts(t=source)
    ]


def test_a_hang_ends_at_its_limit_with_what_it_started(scripts, tmp_path):
    """A child that hangs is killed at its limit together with its own children."""
    pid_file = tmp_path / "grandchild"
    source = (
        "import subprocess, time, pathlib, _probe\n"
        'child = subprocess.Popen(["sleep", "600"])\n'
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n"
        '_probe.at("initialising CUDA")\ntime.sleep(600)'
    )
    started = time.monotonic()
    (result,) = scripts(timeout_seconds=2.0, hangs=source)
    assert ("timeout", "not done after 2 s while initialising CUDA") == ended(result)
    assert 10 > time.monotonic() - started
    assert not _lives(int(pid_file.read_text()))


def test_what_a_probe_leaves_running_is_ended(scripts, tmp_path):
    """A child that ends well takes the processes it left behind along."""
    pid_file = tmp_path / "grandchild"
    source = (
        "import subprocess, pathlib, _probe\n"
        'child = subprocess.Popen(["sleep", "600"])\n'
        f"pathlib.Path({str(pid_file)!r}).write_text(str(child.pid))\n_probe.finish({{}})"
    )
    assert ["ran"] == [result.status for result in scripts(leaves=source)]
    assert not _lives(int(pid_file.read_text()))


def _lives(pid):
    """True where the process still runs after five seconds; a killed one may wait to be collected by init."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return False
        except FileNotFoundError:
            return False
        time.sleep(0.05)
    return True


def test_output_without_end_does_not_stop_a_probe(scripts):
    """More output than a pipe holds does not block the child."""
    source = 'import sys, _probe\nsys.stderr.write("x" * 5_000_000)\nprint("y" * 5_000_000)\n_probe.finish({"a": 1})'
    assert [{"a": 1}] == [result.data for result in scripts(loud=source)]


def test_a_missing_library_is_skipped(scripts):
    """A library that is not installed is no crash."""
    source = 'from _probe import require\nrequire("no_such_library")'
    assert [("skipped", "no_such_library is not installed")] == [ended(r) for r in scripts(lacks=source)]


def test_a_library_without_files_is_a_crash(scripts, tmp_path, monkeypatch):
    """A library whose metadata is there and whose files are gone is not merely missing."""
    metadata = tmp_path / "site" / "torch-9.9.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n")
    monkeypatch.setenv("PYTHONPATH", str(metadata.parent.parent))
    (result,) = scripts(lacks='from _probe import require\nrequire("torch")')
    assert ("crashed", "ImportError: torch 9.9 is registered as installed, but its files are gone") == ended(
        result
    )


def test_results_keep_the_order_of_the_names(scripts):
    """Results come in the order asked for, whichever child ends first."""
    slow, fast = (f"import time, _probe\ntime.sleep({s})\n_probe.finish({{}})" for s in (1.0, 0))
    assert ["c", "a", "b"] == [result.name for result in scripts(c=slow, a=fast, b=fast)]


def test_no_more_than_two_run_at_once(scripts, tmp_path):
    """A third child waits until one of two has ended."""
    log = tmp_path / "log"
    source = (
        "import time, _probe\n"
        f"log = open({str(log)!r}, 'a')\n"
        "print(1, file=log, flush=True)\ntime.sleep(0.5)\nprint(-1, file=log, flush=True)\n_probe.finish({})"
    )
    scripts(**{name: source for name in "abcde"})
    steps = [int(line) for line in log.read_text().split()]
    assert 10 == len(steps)
    assert 2 >= max(sum(steps[: i + 1]) for i in range(len(steps)))


def test_probes_are_offline_and_leave_nothing(scripts, tmp_path, monkeypatch):
    """Libraries are told to stay offline, their caches lie in a folder of the run, and that is gone afterwards."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setenv("HF_HUB_CACHE", "/somewhere/else")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    source = (
        "import os, tempfile, pathlib, _probe\n"
        "pathlib.Path(tempfile.mkdtemp(), 'left').write_text('x')\n"
        "_probe.finish({'variables': dict(os.environ), 'cwd': os.getcwd()})"
    )
    (result,) = scripts(looks=source)
    variables = result.data["variables"]
    assert ["1", "1", "1"] == [
        variables[n] for n in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
    ]
    assert "HF_HUB_CACHE" not in variables
    inside = [variables["HF_HOME"], variables["TMPDIR"], variables["TRITON_CACHE_DIR"], result.data["cwd"]]
    assert [True] * 4 == [path.startswith(str(tmp_path / "tmp")) for path in inside]
    assert "" == variables["CUDA_VISIBLE_DEVICES"]
    assert [] == list((tmp_path / "tmp").iterdir())


def test_gpu_probes_see_the_gpus(scripts, monkeypatch):
    """Only the probes that ask what a GPU does keep the caller's choice of GPUs."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    source = "import os, _probe\n_probe.finish({'gpus': os.environ['CUDA_VISIBLE_DEVICES']})"
    seen = [result.data["gpus"] for result in scripts(torch_runs=source, adapter_save=source)]
    assert ["3", ""] == seen


def test_nothing_is_compiled_beside_the_scripts(scripts, tmp_path):
    """No bytecode is written into envdoc's own folder."""
    scripts(good="import _probe, _tiny\n_probe.finish({})")
    assert ["_probe.py", "_tiny.py", "good.py"] == sorted(p.name for p in (tmp_path / "scripts").iterdir())


@pytest.mark.parametrize("name", ["nothing_of_that_name", "runner", "_tiny"])
def test_an_unknown_probe_is_refused(name):
    """A name that is no probe is one sentence with the names that are."""
    with pytest.raises(EnvdocError) as error:
        run_probes(sys.executable, [name])
    assert f"There is no probe `{name}`." == error.value.message
    assert "torch_runs" in error.value.hint


def test_a_python_that_does_not_start_is_a_result():
    """A missing interpreter crashes the first probes, and the others are not tried."""
    results = run_probes("/no/such/python")
    assert ["crashed"] * 2 + ["skipped"] * 5 == [result.status for result in results]
    assert "could not be started" in results[0].error


def test_ctrl_c_ends_the_children(tmp_path):
    """Ctrl-C during the probes leaves no child and no folder."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "tmp").mkdir()
    pid_file = tmp_path / "pid"
    (tmp_path / "scripts" / "hangs.py").write_text(
        f"import os, pathlib, time\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    )
    source = (
        "import sys, pathlib\nfrom envdoc.doctor.probes.runner import run_probes\n"
        f"run_probes(sys.executable, ['hangs'], folder=pathlib.Path({str(tmp_path / 'scripts')!r}))"
    )
    envdoc = subprocess.Popen(
        [sys.executable, "-c", source],
        env=dict(os.environ, TMPDIR=str(tmp_path / "tmp")),
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    envdoc.send_signal(signal.SIGINT)
    envdoc.communicate(timeout=20)
    assert not _lives(int(pid_file.read_text()))
    assert [] == list((tmp_path / "tmp").iterdir())
