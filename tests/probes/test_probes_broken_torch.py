"""The real probe scripts on a torch that is broken in the ways that torch breaks."""

import sys

import pytest

from envdoc.doctor.probes.runner import run_probes

DIES = "import os, signal\nos.kill(os.getpid(), signal.{})\n"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package(NAME, {FILE: SOURCE}) lays a package with its metadata before every other in a plain interpreter."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def write(name, files):
        (tmp_path / name).mkdir()
        for file, source in files.items():
            (tmp_path / name / file).write_text(source)
        metadata = tmp_path / f"{name}-9.9.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")

    return write


def run(*names, timeout_seconds=20.0):
    return run_probes(sys.executable, names, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("name", ["SIGBUS", "SIGSEGV", "SIGILL"])
def test_torch_that_dies_by_a_signal(package, findings, name):
    """A torch that kills its process is named with the signal, and what needs torch is not started."""
    package("torch", {"__init__.py": DIES.format(name)})
    results = run("torch_runs", "adapter_save", "lora_two_steps")
    assert ("signal", f"{name} while importing torch") == (results[0].status, results[0].error)
    assert ["skipped", "skipped"] == [result.status for result in results[1:]]
    found = findings(*results)
    assert ["TOR050"] == list(found)
    assert f"{name} while importing torch" in found["TOR050"].detail


def test_torch_that_hangs(package, findings):
    """A torch that does not end its import is a time-out."""
    package("torch", {"__init__.py": "import time\ntime.sleep(600)\n"})
    (result,) = run("torch_runs", timeout_seconds=2.0)
    assert ("timeout", "not done after 2 s while importing torch") == (result.status, result.error)
    assert ["TOR050"] == list(findings(result))


def test_torch_whose_init_is_gone(package, findings):
    """A half-deleted torch is a namespace package that imports and has nothing in it."""
    package("torch", {"version.py": "__version__ = '9.9'\n"})
    (result,) = run("torch_runs")
    assert "crashed" == result.status
    assert result.error.startswith("AttributeError: module 'torch' has no attribute")
    assert ["TOR050"] == list(findings(result))


def test_torch_whose_library_is_gone(package, findings):
    """A torch without its binary says which module is missing."""
    package("torch", {"__init__.py": "from torch._C import *\n"})
    (result,) = run("torch_runs")
    assert "ModuleNotFoundError: No module named 'torch._C' while importing torch" == result.error
    assert ["TOR050"] == list(findings(result))


def test_the_module_that_dies_is_named_and_the_rest_is_imported(package, findings):
    """Where one import kills its process, its module is named, and those after it are still looked at."""
    package("safetensors", {"__init__.py": "safe_open = None\n"})
    package("tokenizers", {"__init__.py": DIES.format("SIGSEGV")})
    package("accelerate", {"__init__.py": "Accelerator = None\nprint('a welcome on stdout')\n"})
    package("peft", {"__init__.py": "raise ImportError('cannot import name Cache')\n"})
    package("bitsandbytes", {"__init__.py": "nn = None\n"})
    (result,) = run("library_imports")
    modules = result.data["modules"]
    errors = {name: seen.get("error", "") for name, seen in modules.items() if seen["version"] == "9.9"}
    expected = {
        "safetensors": "",
        "tokenizers": "SIGSEGV",
        "accelerate": "",
        "peft": "ImportError: cannot import name Cache",
        "bitsandbytes": "",
    }
    assert expected == errors
    assert {"TRF050"} == set(findings(result))
