"""Leaks and shadows in a real child: `envdoc check --quick` in folders and shells that have them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENVDOC = Path(sys.executable).parent / "envdoc"
CODES = ["PKG004", "PKG006", *(f"CFG{number:03}" for number in range(40, 51))] + [
    f"SYS{number:03}" for number in range(20, 25)
]
CLEARED = (
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "PYTHONPATH",
    "CONDA_PREFIX",
    "VIRTUAL_ENV",
    "HF_HOME",
    "XDG_CACHE_HOME",
)


@pytest.fixture()
def check(patient, tmp_path):
    """A function that runs the check in a folder with variables, and returns titles by code of what failed."""
    home = tmp_path / "home"
    home.mkdir()

    def run(folder, python=patient, **variables):
        environ = {name: value for name, value in os.environ.items() if name not in CLEARED}
        environ.update({"HOME": str(home), **variables})
        argv = [str(ENVDOC), "check", "--quick", "--no-redact", "--format", "json", "--fail-on", "never"]
        done = subprocess.run(
            [*argv, "--python", str(python)], cwd=folder, env=environ, capture_output=True, timeout=60
        )
        assert 0 == done.returncode, done.stderr.decode()
        checks = json.loads(done.stdout)["checks"]
        assert [] == [check for check in checks if check["status"] == "crashed"]
        failed = [check for check in checks if check["status"] == "fail" and check["code"] in CODES]
        return {check["code"]: (check["severity"], check["title"]) for check in failed}

    return run


@pytest.fixture()
def work(tmp_path):
    """An empty working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_an_ordinary_folder_is_well(check, work):
    """Scripts, data and notebooks beside each other hide nothing; nor do folders of data with a library's name."""
    for name in ("train.py", "utils.py", "data.json", "run.ipynb", "torch-notes.py"):
        (work / name).write_text("")
    for name in ("datasets", "torch", "evaluate", "tests"):
        (work / name).mkdir()
    for name in ("transformers", "peft"):  # a clone of the repository
        (work / name / "src" / name).mkdir(parents=True)
        (work / name / "src" / name / "__init__.py").write_text("")
        (work / name / "setup.py").write_text("")
    assert {} == check(work)


@pytest.mark.parametrize(
    ("file", "title"),
    [
        ("datasets.py", "./datasets.py in this folder hides the library datasets"),
        ("tokenizers.py", "./tokenizers.py in this folder hides the library tokenizers"),
        ("torch/__init__.py", "./torch/ in this folder hides the library torch"),
        ("random.py", "./random.py in this folder hides the standard module random"),
        ("types.py", "./types.py in this folder hides the standard module types"),
        ("accelerate.py", "./accelerate.py in this folder hides the library accelerate"),
        ("peft/__init__.py", "./peft/ in this folder hides the library peft"),
        ("logging.py", "./logging.py in this folder hides the standard module logging"),
        ("yaml/__init__.py", "./yaml/ in this folder hides the library yaml"),
    ],
)
def test_file_with_the_name_of_a_library(check, work, file, title):
    """The finding names the file and what it hides."""
    (work / file).parent.mkdir(exist_ok=True)
    (work / file).write_text("")
    assert {"CFG040": ("error", title)} == check(work)


def test_the_shadow_is_what_python_imports(patient, work):
    """What the rule says is what the target does in that folder."""
    (work / "datasets.py").write_text("print('shadow')")
    done = subprocess.run([str(patient), "-c", "import datasets"], cwd=work, capture_output=True, text=True)
    assert "shadow\n" == done.stdout


def test_safe_path_keeps_the_working_folder_out(check, work):
    """With PYTHONSAFEPATH no script and no -m looks there."""
    (work / "datasets.py").write_text("")
    assert {} == check(work, PYTHONSAFEPATH="1")


def test_working_folder_on_pythonpath_is_the_working_folder(check, work):
    """With PYTHONPATH=. the file is still the one to rename: a script's own folder comes first anyway."""
    (work / "datasets.py").write_text("")
    assert ["CFG040"] == list(check(work, PYTHONPATH="."))


def test_editable_checkout_is_no_shadow(check, interpreter, tmp_path):
    """In a checkout of the very library that is installed from it, nothing is hidden."""
    environment, checkout = tmp_path / "env", tmp_path / "transformers-main"
    subprocess.run([interpreter("3.11"), "-m", "venv", "--without-pip", str(environment)], check=True)
    site = environment / "lib" / "python3.11" / "site-packages"
    source = checkout / "src" / "transformers"
    source.mkdir(parents=True)
    (source / "__init__.py").write_text('__version__ = "5.23.0"')
    (checkout / "setup.py").write_text("")
    metadata = site / "transformers-5.23.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: transformers\nVersion: 5.23.0\n")
    url = {"url": checkout.as_uri(), "dir_info": {"editable": True}}
    (metadata / "direct_url.json").write_text(json.dumps(url))
    (site / "__editable__.transformers.pth").write_text(f"{source.parent}\n")
    assert {} == check(source.parent, environment / "bin" / "python")


def test_pythonpath_with_another_transformers(check, work, tmp_path):
    """A copy without metadata is found, with its version and the one that it hides."""
    package = tmp_path / "old" / "transformers"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text('__version__ = "4.30.0"')
    found = check(work, PYTHONPATH=str(package.parent))
    assert ["CFG041", "PKG006"] == sorted(found)
    severity, title = found["CFG041"]
    assert "warning" == severity
    assert title.startswith("PYTHONPATH puts transformers 4.30.0 before the installed ")


def test_conda_environment_beside(check, work, tmp_path):
    """CONDA_PREFIX of another environment that has another numpy."""
    meta = tmp_path / "conda" / "conda-meta"
    meta.mkdir(parents=True)
    (meta / "numpy-1.24.0-py310_0.json").write_text("{}")
    found = check(work, CONDA_PREFIX=str(meta.parent))
    assert ["CFG042"] == list(found)
    assert found["CFG042"][1].startswith("conda's numpy 1.24.0 is active beside the target's ")


def test_pip_of_another_python(check, patient, work, tmp_path):
    """The target's folder comes first on PATH, and a pip of another Python is what `pip` starts."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "python").symlink_to(patient)
    (programs / "pip").write_text("#!/usr/bin/python3\n")
    (programs / "pip").chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    prefix = str(Path(patient).parent.parent)
    assert ["CFG043"] == list(check(work, PATH=path, VIRTUAL_ENV=prefix))
    (programs / "pip").write_text(
        f"#!/bin/sh\n'''exec' \"{Path(patient).parent}/python\" \"$0\" \"$@\"\n' '''\n"
    )
    assert {} == check(work, PATH=path, VIRTUAL_ENV=prefix)


def test_cuda_libraries_on_the_loaders_path(check, work, tmp_path):
    """Old libraries and a stub of the driver in folders of LD_LIBRARY_PATH; a CPU build is not harmed by them."""
    old, stubs = tmp_path / "old", tmp_path / "lib" / "stubs"
    for file in (old / "libcudart.so.11.0", old / "libcudnn.so.8", stubs / "libcuda.so"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")
    found = check(work, LD_LIBRARY_PATH=f"{old}:{stubs}")
    assert {
        "CFG044": ("info", "LD_LIBRARY_PATH brings in libcudart.so.11.0 from outside"),
        "CFG046": ("info", "LD_LIBRARY_PATH holds the stub of libcuda, which serves no GPU"),
    } == found


def test_misspelt_and_retired_variables(check, work):
    """Names that nobody reads are named, and their values are not needed for it."""
    found = check(work, CUDA_VISIBLE_DEVICE="0", BITSANDBYTES_NOWELCOME="1", CUDA_FOO="1", HF_HOME=str(work))
    assert ["CFG047", "CFG048"] == sorted(found)
    assert "CUDA_VISIBLE_DEVICE is read by nobody: CUDA_VISIBLE_DEVICES is" == found["CFG047"][1]


def test_names_only_are_collected(patient, work):
    """The snapshot keeps the name of an unknown variable with a library's prefix, no value, and no secret's name."""
    environ = {**os.environ, "CUDA_FOO": "private-value", "PYTORCH_SECRET_TOKEN": "x", "MY_OWN": "y"}
    done = subprocess.run(
        [str(ENVDOC), "facts", "--no-redact", "--python", str(patient)],
        cwd=work,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    names = json.loads(done.stdout)["surroundings"]["variable_names"]
    assert "CUDA_FOO" in names
    assert not {"PYTORCH_SECRET_TOKEN", "MY_OWN"} & set(names)
    assert "private-value" not in done.stdout


def test_accelerate_configuration(check, work, tmp_path):
    """Eight processes with a GPU each, on this machine without one; nested settings are passed over."""
    config = tmp_path / "home" / ".cache" / "huggingface" / "accelerate" / "default_config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "compute_environment: LOCAL_MACHINE\ndistributed_type: 'MULTI_GPU'\nfsdp_config:\n  num_processes: 1\n"
        "mixed_precision: fp16  # half\nnum_machines: 1\nnum_processes: 8\nuse_cpu: false\n"
    )
    environ = {"ENVDOC_ROOT": str(tmp_path / "no-gpu")}
    assert {
        "CFG049": ("warning", "accelerate's configuration asks for 8 processes (MULTI_GPU); there is no GPU"),
        "CFG050": ("warning", "accelerate's mixed_precision fp16 is not for the CPU"),
    } == check(work, **environ)
    config.write_text("distributed_type: NO\nmixed_precision: bf16\nnum_processes: 1\n")
    assert {} == check(work, **environ)


def test_missing_home_and_temporary_folder(check, work, tmp_path):
    """Both folders are named; the check itself comes to its end without them."""
    gone = tmp_path / "gone"
    assert ["SYS020", "SYS021"] == sorted(check(work, HOME=str(gone / "home"), TMPDIR=str(gone / "tmp")))
