"""What the proof of a new environment imports in a fork beside something else, and that it costs nobody a result."""

import sys
from pathlib import Path

import pytest

from envdoc.doctor.probes import runner

PROBES = Path(runner.__file__).parent
THERE = "import importlib.util, _probe\n_probe.finish({'there': bool(importlib.util.find_spec(%r))})"


@pytest.fixture
def proof(tmp_path, monkeypatch):
    """proof(MODULE, NAME, ...) proves a new environment without GPUs; each probe tells whether it finds MODULE.

    `first` has what a probe does before, by its name.
    """

    def prove(module, *names, first=None):
        monkeypatch.setattr(runner, "GPU_FILES", ())
        scripts = tmp_path / "scripts"
        scripts.mkdir()
        (scripts / "_probe.py").symlink_to(PROBES / "_probe.py")
        for name in names:
            (scripts / f"{name}.py").write_text((first or {}).get(name, "") + THERE % module)
        run = runner.ProbeRun(sys.executable, names, folder=scripts, is_new=True)
        try:
            return {result.name: result for result in run.results()}
        finally:
            run.close()

    return prove


BAD_IMPORTS = [
    ("raise ImportError('no pyarrow')\n", "ImportError: no pyarrow"),
    ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n", "SIGSEGV"),
    ("import sys\nsys.exit(3)\n", "the process ended with status 3"),
]


@pytest.mark.parametrize(("source", "error"), [("Dataset = None\n", None), *BAD_IMPORTS])
def test_a_new_environment_imports_datasets_beside_transformers(proof, package, source, error):
    """However that ends it is told, and costs nobody else a result; the two steps do without it."""
    package("torch", "")
    package("datasets", source)
    package("peft", "LoraConfig = get_peft_model = PeftModel = None\n")
    results = proof("datasets", "torch_runs", "lora_two_steps", "library_imports")
    assert {"ran"} == {result.status for result in results.values()}
    modules = results["library_imports"].data["modules"]
    assert (False, "9.9") == (results["lora_two_steps"].data["there"], modules["datasets"]["version"])
    assert error == modules["datasets"].get("error")
    assert "error" not in modules["peft"]


@pytest.mark.parametrize(("source", "error"), [("nn = None\n", None), *BAD_IMPORTS])
def test_a_new_environment_runs_bitsandbytes_beside_the_trainer(tmp_path, proof, package, source, error):
    """Its probe is forked there and tells its result; the two steps do without it, and peft is imported with it too."""
    seen = tmp_path / "seen"
    package("torch", "")
    package("bitsandbytes", source)
    package(
        "peft",
        "LoraConfig = get_peft_model = PeftModel = None\nfrom importlib.util import find_spec\n"
        f"open({str(seen)!r}, 'a').write('with ' if find_spec('bitsandbytes') else 'without ')\n",
    )
    results = proof("bitsandbytes", "torch_runs", "bitsandbytes_runs", "lora_two_steps", "library_imports")
    assert {"ran"} == {result.status for result in results.values()}
    there = {name: result.data.get("there") for name, result in results.items()}
    assert (True, False) == (there["bitsandbytes_runs"], there["lora_two_steps"])
    modules = results["library_imports"].data["modules"]
    assert ("9.9", error) == (modules["bitsandbytes"]["version"], modules["bitsandbytes"].get("error"))
    assert "error" not in modules["peft"]
    assert ["without", "with"] == seen.read_text().split()


LATE = """
import gc, time
from pathlib import Path
nn = None
def late():
    while not Path({log!r}).exists():
        time.sleep(0.01)
gc.freeze = late  # which comes before the fork
"""
RUN_AGAIN = """
import time
with open({log!r}, "a") as log:
    time.sleep(1)
    log.write("ended ")
"""
OUTLAST = """
import time
from pathlib import Path
while not (Path({log!r}).exists() and Path({log!r}).read_text()):
    time.sleep(0.01)
time.sleep(1)
"""


def test_a_probe_that_is_forked_too_late_is_run_once(tmp_path, proof, package):
    """The imports were done before the process beside them forked it: it was run in a child of its own by then."""
    log = tmp_path / "log"
    package("torch", "")
    package("bitsandbytes", LATE.format(log=str(log)))
    package("peft", "LoraConfig = get_peft_model = PeftModel = None\n")
    first = {
        "bitsandbytes_runs": RUN_AGAIN.format(log=str(log)),
        "lora_two_steps": OUTLAST.format(log=str(log)),
    }
    names = ("torch_runs", "bitsandbytes_runs", "lora_two_steps", "library_imports")
    results = proof("bitsandbytes", *names, first=first)
    assert {"ran"} == {result.status for result in results.values()}
    assert "ended " == log.read_text()
