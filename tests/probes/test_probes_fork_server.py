"""The probes share one child's imports, and each still ends as it likes without harm to the others or the verdict."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envdoc.doctor.probes import forked, runner
from envdoc.doctor.probes.runner import DEFAULT_PROBES, run_probes

PROBES = Path(runner.__file__).parent
FORKED = "Path(f'/proc/{os.getppid()}/cmdline').read_text().split(chr(0))[1:2]"  # the keeper is a fork of the server
GOOD = f"import os, _probe\nfrom pathlib import Path\n_probe.finish({{'server': {FORKED}}})"
BESIDE = str(PROBES / "_server.py")


@pytest.fixture
def scripts(scripts):
    """scripts(NAME=SOURCE, ...) -> results by name; real probes' names, so that they are forked."""

    def run(timeout_seconds=30.0, **sources):
        return {result.name: result for result in scripts(timeout_seconds, **sources)}

    return run


@pytest.fixture
def own_temporary(tmp_path, monkeypatch):
    """A temporary folder that nobody else uses."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def lives(pid):
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


def servers(folder):
    """The processes whose command line names something in that folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder) in (entry / "cmdline").read_text(errors="replace"):
                found.append(int(entry.name))
        except OSError:
            continue
    return [pid for pid in found if lives(pid)]


def test_probes_are_forked_from_one_server(scripts):
    """Two probes are children of keepers that the server forked; ENVDOC_PROBES=separate starts each by itself."""
    results = scripts(adapter_save=GOOD, fan_in_fan_out=GOOD)
    assert [[BESIDE]] * 2 == [result.data["server"] for result in results.values()]


def test_separate_is_a_switch(scripts, monkeypatch):
    """ENVDOC_PROBES=separate starts a child for each probe."""
    monkeypatch.setenv("ENVDOC_PROBES", "separate")
    assert [BESIDE] not in [
        r.data["server"] for r in scripts(adapter_save=GOOD, fan_in_fan_out=GOOD).values()
    ]


def test_the_import_is_shared(scripts, package, tmp_path):
    """A library is imported once, however many probes need it."""
    package("torch", f"open({str(tmp_path / 'imports')!r}, 'a').write('x')\n")
    source = "import torch, _probe\n_probe.finish({})"
    results = scripts(torch_runs=source, adapter_save=source, fan_in_fan_out=source, lora_two_steps=source)
    assert ["ran"] * 4 == [result.status for result in results.values()]
    assert "x" == (tmp_path / "imports").read_text()


@pytest.mark.parametrize(
    ("source", "status", "error"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal", "SIGSEGV while saving"),
        ("os.kill(os.getpid(), signal.SIGBUS)", "signal", "SIGBUS while saving"),
        ("os.abort()", "signal", "SIGABRT while saving"),
        ("time.sleep(600)", "timeout", "not done after 2 s while saving"),
        ("os._exit(0)", "crashed", "printed no result on its last line, but: nothing"),
        ("os._exit(3)", "crashed", "ended with status 3 while saving"),
        (
            "os.write(_probe._result_fd, b'\\xff<html>\\n')",
            "crashed",
            "printed no result on its last line, but: \ufffd<html>",
        ),
        ("raise RuntimeError('look up')", "crashed", "RuntimeError: look up while saving"),
    ],
)
def test_a_bad_end_is_a_result_and_the_others_go_on(scripts, source, status, error):
    """A signal, a hang, garbage, an early exit and a traceback of one fork leave the other as it is."""
    bad = f"import os, signal, time, _probe\n_probe.at('saving')\n{source}"
    results = scripts(timeout_seconds=2.0, adapter_save=bad, fan_in_fan_out=GOOD)
    assert (status, error) == (results["adapter_save"].status, results["adapter_save"].error)
    assert ("ran", {"server": [BESIDE]}) == (results["fan_in_fan_out"].status, results["fan_in_fan_out"].data)


def test_a_crash_of_the_fork_alone_is_no_verdict(scripts):
    """What ends badly as a fork and well by itself has ended well."""
    source = (
        f"import os, _probe\nfrom pathlib import Path\nif {FORKED} == [{BESIDE!r}]:\n    os.abort()\n"
        "_probe.finish({'alone': True})"
    )
    results = scripts(adapter_save=source, fan_in_fan_out=GOOD)
    assert ("ran", {"alone": True}) == (results["adapter_save"].status, results["adapter_save"].data)


def test_torch_that_fails_in_a_fork_is_asked_alone(scripts):
    """torch_runs decides over the others: its bad end makes all of them start anew, one by one."""
    results = scripts(torch_runs="import os\nos.abort()", adapter_save=GOOD, fan_in_fan_out=GOOD)
    assert ["signal", "skipped", "skipped"] == [result.status for result in results.values()]


def test_what_a_fork_leaves_running_is_ended(scripts, tmp_path, own_temporary):
    """A probe's own children end with it, and nothing is left in the temporary folder."""
    pid_file = tmp_path / "pid"
    source = (
        "import subprocess, pathlib, tempfile, _probe\n"
        "pathlib.Path(tempfile.mkdtemp(), 'left').write_text('x')\n"
        f"pathlib.Path({str(pid_file)!r}).write_text(str(subprocess.Popen(['sleep', '600']).pid))\n"
        "_probe.finish({})"
    )
    results = scripts(adapter_save=source, fan_in_fan_out=GOOD)
    assert ["ran", "ran"] == [result.status for result in results.values()]
    assert not lives(int(pid_file.read_text()))
    assert [] == list(own_temporary.iterdir())


def test_forks_have_folders_and_variables_of_their_own(scripts, monkeypatch):
    """Each fork has its own folder and the GPUs that it may see, whatever the server had."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    source = (
        "import os, sys, _probe\n_probe.finish({'v': dict(os.environ), 'cwd': os.getcwd(), 'argv': sys.argv})"
    )
    seen = {name: r.data for name, r in scripts(lora_two_steps=source, adapter_save=source).items()}
    assert ["3", ""] == [data["v"]["CUDA_VISIBLE_DEVICES"] for data in seen.values()]
    assert 2 == len({data["cwd"] for data in seen.values()})
    assert [True] * 2 == [data["v"]["TMPDIR"].startswith(data["cwd"]) for data in seen.values()]
    assert ["lora_two_steps.py"] == [Path(word).name for word in seen["lora_two_steps"]["argv"]]
    assert [False] * 2 == ["PYTORCH_NVML_BASED_CUDA_CHECK" in data["v"] for data in seen.values()]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import os, signal\nos.kill(os.getpid(), signal.SIGBUS)\n", "SIGBUS"),
        ("import os\nos._exit(0)\n", "the process ended before the import did"),
        ("import sys\nsys.exit(3)\n", "the process ended with status 3"),
        ("import time\ntime.sleep(600)\n", "the import did not end within 2 s"),
        ("raise ImportError('cannot import name Cache')\n", "ImportError: cannot import name Cache"),
    ],
)
def test_an_import_that_ends_the_server_is_named(scripts, package, monkeypatch, source, error):
    """The module whose import kills, ends or stops the server is named, and the others have their results."""
    monkeypatch.setattr(forked, "MODULE_TIMEOUT_SECONDS", 2.0)
    package("torch", "")
    package("safetensors", "safe_open = None\n")
    package("tokenizers", source)
    package("accelerate", "Accelerator = None\n")
    package("peft", "LoraConfig = get_peft_model = PeftModel = None\n")
    results = scripts(
        library_imports="raise SystemExit(1)", torch_runs=GOOD, adapter_save=GOOD, llama_tokenizer=GOOD
    )
    modules = results["library_imports"].data["modules"]
    assert {"tokenizers": error} == {name: seen["error"] for name, seen in modules.items() if "error" in seen}
    assert {"safetensors", "tokenizers", "accelerate", "peft"} == {
        n for n, s in modules.items() if s["version"]
    }
    assert {"ran"} == {result.status for result in results.values()}
    # the tokenizer's probe needs what fails, so it ran by itself; the others were forked
    assert [BESIDE] != results["llama_tokenizer"].data["server"]
    assert [BESIDE] == results["adapter_save"].data["server"]


def test_two_imports_that_fail_are_both_named(scripts, package):
    """Each server goes on without what failed in the one before."""
    package("tokenizers", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    package("peft", "raise ImportError('no Cache')\n")
    results = scripts(library_imports="", adapter_save=GOOD, torch_runs=GOOD)
    errors = {
        n: s.get("error") for n, s in results["library_imports"].data["modules"].items() if s["version"]
    }
    assert {"tokenizers": "SIGSEGV", "peft": "ImportError: no Cache"} == errors


def test_an_interpreter_that_hangs_at_its_start_is_given_up(tmp_path, monkeypatch):
    """A server that never says a word is killed, and the probes are tried by themselves."""
    monkeypatch.setattr(forked, "MODULE_TIMEOUT_SECONDS", 1.0)
    (tmp_path / "python").write_text("#!/bin/sh\nsleep 600\n")
    (tmp_path / "python").chmod(0o755)
    results = run_probes(str(tmp_path / "python"), timeout_seconds=1.0)
    assert ["timeout"] * 2 + ["skipped"] * 5 == [result.status for result in results]
    assert [] == servers(tmp_path / "python")


def test_no_room_for_files_is_a_result(monkeypatch, tmp_path):
    """Without a folder for temporary files every probe says so, and the check goes on."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    results = run_probes(sys.executable)
    assert ["crashed"] * 2 + ["skipped"] * 5 == [result.status for result in results]
    assert results[0].error.startswith("there is no temporary folder: ")


@pytest.mark.parametrize("moment", ["a fork", "an import"])
def test_ctrl_c_ends_server_keepers_and_forks(tmp_path, moment):
    """Ctrl-C leaves no process and no folder, whether a library is being imported or a probe runs."""
    for folder in ("scripts", "tmp", "site"):
        (tmp_path / folder).mkdir()
    hang = (
        "import os, pathlib, subprocess, time\n"
        "pids = f\"{os.getpid()} {subprocess.Popen(['sleep', '600']).pid}\"\n"
        f"pathlib.Path({str(tmp_path)!r}, 'pids').write_text(pids)\n"
        "time.sleep(600)\n"
    )
    (tmp_path / "site" / "torch.py").write_text(hang if moment == "an import" else "")
    for name in ("torch_runs", "adapter_save"):
        (tmp_path / "scripts" / f"{name}.py").write_text(hang)
    source = (
        "import sys, pathlib\nfrom envdoc.doctor.probes.runner import run_probes\n"
        f"folder = pathlib.Path({str(tmp_path / 'scripts')!r})\n"
        "run_probes(sys.executable, ['torch_runs', 'adapter_save'], folder=folder)"
    )
    env = dict(os.environ, TMPDIR=str(tmp_path / "tmp"), PYTHONPATH=str(tmp_path / "site"))
    envdoc = subprocess.Popen([sys.executable, "-c", source], env=env, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while (
        not ((tmp_path / "pids").exists() and (tmp_path / "pids").read_text()) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    time.sleep(0.2)
    envdoc.send_signal(signal.SIGINT)
    envdoc.communicate(timeout=20)
    assert [False, False] == [lives(int(pid)) for pid in (tmp_path / "pids").read_text().split()]
    assert [] == servers(tmp_path)
    assert [] == list((tmp_path / "tmp").iterdir())


def told(result):
    """What a result says, without seconds and without the depth at which a recursion was stopped."""

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items() if key != "seconds"}
        return "RecursionError" if isinstance(value, str) and value.startswith("RecursionError") else value

    return result.name, result.status, result.error, plain(result.data)


@pytest.mark.slow
def test_the_fork_server_sees_what_separate_children_see(patient, probed):
    """On the newest environment every result is the same either way."""
    separate = [told(probed(name)) for name in DEFAULT_PROBES]
    assert separate == [told(result) for result in run_probes(str(patient))]


@pytest.mark.slow
def test_versions_that_do_not_fit_are_seen_the_same(patient, overlay, probed, monkeypatch):
    """peft 0.3.0 beside a transformers of today breaks three imports in turn: the same three either way."""
    names = ("library_imports", "torch_runs", "lora_two_steps")
    separate = [told(probed(name, "peft-0.3.0")) for name in names]
    monkeypatch.setenv("PYTHONPATH", overlay("peft-0.3.0"))
    assert separate == [told(result) for result in run_probes(str(patient), names)]


def test_bitsandbytes_does_not_take_the_gpu_from_the_later_forks(scripts, package, monkeypatch):
    """On a machine with a GPU its own probe has it, and the LoRA steps are forked from a child without it.

    It initialises CUDA when it is imported, and peft imports it: no fork could use the GPU after that, and the
    LoRA steps were started anew, for another 16 s of imports on an H100 machine (2026-11-24).
    """
    monkeypatch.setattr(runner, "GPU_FILES", ("/proc/version",))
    package(
        "torch",
        "import types\nversion = types.SimpleNamespace(hip=None)\ntaken = []\n"
        "cuda = types.SimpleNamespace(is_initialized=lambda: bool(taken))\n",
    )
    package("bitsandbytes", "import torch\ntorch.taken.append(1)\n")
    package(
        "peft",
        "from importlib.util import find_spec\nif find_spec('bitsandbytes'):\n    import bitsandbytes\n"
        "LoraConfig = PeftModel = get_peft_model = None\n",
    )
    source = (
        "import importlib.util, os, sys, _probe\nfrom pathlib import Path\n"
        f"_probe.finish({{'server': {FORKED}, 'there': bool(importlib.util.find_spec('bitsandbytes'))}})"
    )
    results = scripts(torch_runs=source, bitsandbytes_runs=source, lora_two_steps=source)
    assert {"torch_runs": True, "bitsandbytes_runs": True, "lora_two_steps": False} == {
        name: result.data["there"] for name, result in results.items()
    }
    assert {BESIDE} == {word for result in results.values() for word in result.data["server"]}
