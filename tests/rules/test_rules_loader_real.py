"""The loader's model against a real `import torch`, and shells that a child is really started in."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.facts.interpreter import describe
from envdoc.doctor.facts.ld_search import Files, Process
from envdoc.doctor.facts.torch_loading import play, preloads

MAPS = """
import torch
print("\\n".join(sorted({line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "/" in line})))
"""


def test_the_model_is_what_torch_loads(patient):
    """Every file that the model opens is mapped when torch was imported, and all of torch's own are in the model."""
    told = describe(str(patient))
    site = next(Path(entry) for entry in told.sys_path if (Path(entry) / "torch").is_dir())
    environ = {name: value for name, value in os.environ.items() if not name.startswith("LD_")}
    done = subprocess.run(
        [str(patient), "-c", MAPS], env=environ, capture_output=True, text=True, timeout=120, check=True
    )
    real = set(done.stdout.splitlines())
    process = Process(os.path.realpath(patient), "", (), Files(platform.machine()))
    play(process, site / "torch", told.sys_path, [])
    model = {os.path.realpath(one.path) for one in process.loaded if not one.path.startswith("/lib64/ld-")}
    assert set() == model - real
    own = str(site / "torch" / "lib")
    assert {path for path in real if path.startswith(own)} == {p for p in model if p.startswith(own)}
    assert [] == [request.name for request in process.requests if request.answer is None]


@pytest.mark.parametrize(
    ("text", "always", "after_failure", "marker"),
    [
        (  # up to 2.4
            """
def _load_global_deps():
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
    except OSError as err:
        cuda_libs = {
            'cublas': 'libcublas.so.*[0-9]',
        }

""",
            [],
            [("cublas", "libcublas.so.*[0-9]")],
            "",
        ),
        (  # 2.5 to 2.13
            """
def _load_global_deps() -> None:
    try:
        ctypes.CDLL(path, mode=ctypes.RTLD_GLOBAL)
        if "libcudart.so" not in _maps:
            return
        _preload_cuda_deps("nvjitlink", "libnvJitLink.so.*[0-9]")
    except OSError as err:
        cuda_libs: dict[str, str] = {
            "cublas": "libcublas.so.*[0-9]",
        }

""",
            [("nvjitlink", "libnvJitLink.so.*[0-9]")],
            [("cublas", "libcublas.so.*[0-9]")],
            "libcudart.so",
        ),
        (  # 2.14
            """
def _preload_cuda_deps(err=None, required=True):
    cuda_libs = [
        ("cublas", "libcublasLt.so.*[0-9]"),
        ("nccl", "libnccl.so.*[0-9]"),
    ]

def _load_global_deps() -> None:
    try:
        if "libcudart.so" not in _maps:
            return
        _preload_cuda_deps(required=False)
    except OSError as err:
        _preload_cuda_deps(err)

""",
            [("cublas", "libcublasLt.so.*[0-9]"), ("nccl", "libnccl.so.*[0-9]")],
            [("cublas", "libcublasLt.so.*[0-9]"), ("nccl", "libnccl.so.*[0-9]")],
            "libcudart.so",
        ),
    ],
)
def test_torchs_own_preloads(tmp_path, text, always, after_failure, marker):
    """What each generation of torch/__init__.py opens by path, and when."""
    (tmp_path / "__init__.py").write_text(text)
    plan = preloads(tmp_path / "__init__.py")
    assert (always, after_failure, marker) == (list(plan.always), list(plan.after_failure), plan.marker)


def test_python_home_that_breaks_the_target(patient, tmp_path, monkeypatch):
    """The interpreter is described all the same, and the reason why it does not start is kept."""
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    told = describe(str(patient))
    assert ("", False) == (told.error or "", told.search_path_error == "")
    assert "does not start" in told.search_path_error


def test_loaded_libraries_are_told(patient, tmp_path):
    """The probe's helper lists the C++ runtime of a real torch, and knows that it is the system's."""
    import envdoc.doctor.probes as probes

    folder = str(Path(probes.__file__).parent)
    code = (
        f"import sys, json; sys.path.insert(0, {folder!r}); import torch, _loaded; "
        "print(json.dumps(_loaded.loaded_libraries(torch.__file__)))"
    )
    done = subprocess.run(
        [str(patient), "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert [True] == ["libstdc++" in path for path in told["loaded_libraries"]]
    assert told["loaded_libraries"] == told["loaded_from_outside"]
    assert sys.prefix not in told["loaded_libraries"][0]
