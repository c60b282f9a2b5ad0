"""What a shell starts, and what the releases of libraries are called: real environments, files in folders."""

import os
import struct
import subprocess

import fakes
import pytest

from envdoc.doctor.facts.interpreter import describe
from envdoc.doctor.facts.ld_cache import cached
from envdoc.doctor.facts.library_versions import library_version
from envdoc.doctor.facts.shell import shell
from envdoc.doctor.facts.snapshot import ForeignScripts, Interpreter, Launcher, PathEntry

OTHER = "/nonexistent/old/bin/python"


@pytest.fixture(params=["3.8", "3.11", "3.13"])
def environment(request, interpreter, tmp_path):
    """A new virtual environment of that Python, with the programs that its own venv writes."""
    folder = tmp_path / "env"
    try:
        python = interpreter(request.param)
    except AssertionError:
        pytest.skip(f"there is no Python {request.param}")
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def test_a_new_environment_is_its_own(environment):
    """Whatever release of venv wrote bin/activate, it names the environment; no script is foreign."""
    told = shell(describe(str(environment / "bin/python")), {})
    assert (str(environment), ()) == (told.activate_prefix, told.foreign_scripts)


def test_a_copied_environment(environment, tmp_path):
    """bin/activate names the original; scripts whose interpreter is elsewhere are counted by interpreter."""
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-a", str(environment), str(copy)], check=True)
    for name, first in (("hf", OTHER), ("pip", OTHER), ("own", f"{copy}/bin/python"), ("sh", "/bin/sh")):
        fakes.program(copy / "bin", name, "")
        (copy / "bin" / name).write_text(f"#!{first}\nprint()\n")
    # as uv writes them with --relocatable, and pip where the path is long
    (copy / "bin/uvx").write_text(
        "#!/bin/sh\n'''exec' \"$(dirname -- \"$0\")\"/'python' \"$0\" \"$@\"\n' '''\n"
    )
    (copy / "bin/long").write_text(f"#!/bin/sh\n'''exec' \"{OTHER}\" \"$0\" \"$@\"\n' '''\n")
    told = shell(describe(str(copy / "bin/python")), {})
    assert str(environment) == told.activate_prefix
    assert (ForeignScripts(OTHER, False, 3, ("hf", "long", "pip")),) == told.foreign_scripts


def test_launchers_and_the_python_on_path(environment, tmp_path):
    """The first of each name on PATH with its interpreter; a link to the target's folder is that folder."""
    programs, link = tmp_path / "programs", tmp_path / "link"
    fakes.program(programs, "accelerate", "")
    (programs / "accelerate").write_text(f"#!{OTHER}\n")
    fakes.program(environment / "bin", "accelerate", "")
    link.symlink_to(environment)
    target = describe(str(environment / "bin/python"))
    told = shell(target, {"PATH": f"{programs}:{link}/bin", "VIRTUAL_ENV": str(tmp_path / "gone")})
    own = str(environment / "bin/accelerate")
    assert (Launcher("accelerate", str(programs / "accelerate"), OTHER, False, False, own),) == told.launchers
    assert (True, None, False) == (told.python_is_targets, told.pip_is_targets, told.virtual_env_exists)


def test_folders_of_pythonpath(tmp_path):
    """A folder of another version by its name or its compiled modules; one that has both versions is well."""
    named = tmp_path / "lib/python3.8/site-packages"
    compiled, both, gone = tmp_path / "compiled", tmp_path / "both", tmp_path / "gone"
    for path in (
        named / "plain/__init__.py",
        compiled / "numpy/core/_multiarray_umath.cpython-39-x86_64-linux-gnu.so",
        both / "mine/_c.cpython-39-x86_64-linux-gnu.so",
        both / "mine/_c.cpython-311-x86_64-linux-gnu.so",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    entries = [str(path) for path in (named, compiled, both, gone)]
    target = Interpreter(path="/usr/bin/python3", version="3.11.7", sys_path=tuple(entries))
    told = shell(target, {"PYTHONPATH": os.pathsep.join(["", *entries])})
    assert (
        PathEntry(entries[0], True, "3.8"),
        PathEntry(entries[1], True, "3.9", ("numpy",)),
        PathEntry(entries[2]),
        PathEntry(entries[3], False),
    ) == told.python_path


def test_customisation_from_outside(tmp_path):
    """A sitecustomize of the target itself is its own affair."""
    own, outside = tmp_path / "env/lib", tmp_path / "outside"
    for folder in (own, outside):
        folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text("")
    target = Interpreter(path="/usr/bin/python3", prefix=str(tmp_path / "env"), sys_path=(str(own),))
    assert () == shell(target, {}).customisation
    target = Interpreter(
        path="/usr/bin/python3", prefix=str(tmp_path / "env"), sys_path=(str(outside), str(own))
    )
    assert (str(outside / "sitecustomize.py"),) == shell(target, {}).customisation


@pytest.mark.parametrize(
    ("name", "link", "wheel", "expected"),
    [
        ("lib/libcudart.so.12.4.127", "lib/libcudart.so.12", "", "12.4.127"),
        ("nvidia/cudnn/lib/libcudnn_ops.so.9", "", "nvidia_cudnn_cu12-9.1.0.70", "9.1.0.70"),
        ("nvidia/cuda_runtime/lib/libcudart.so.12", "", "nvidia_cuda_runtime_cu12-12.4.127", "12.4.127"),
        ("nvidia/cu13/lib/libcublasLt.so.13", "", "nvidia_cublas-13.1.0.3", "13.1.0.3"),
        ("nvidia/cu13/lib/libcusparse.so.12", "", "nvidia_cusparselt_cu13-0.8.1", ""),
        ("lib/libnccl.so.2", "", "", ""),
    ],
)
def test_releases_of_libraries(tmp_path, name, link, wheel, expected):
    """By the file's own name, links followed; else by the wheel that brought it; else nobody knows."""
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    if link:
        (tmp_path / link).symlink_to(path)
    if wheel:
        (tmp_path / f"{wheel}.dist-info").mkdir()
    assert expected == library_version(str(tmp_path / (link or name)))


def test_a_damaged_cache_is_no_cache(tmp_path, monkeypatch):
    """Counts beyond the file's end, other magic, nothing at all."""
    for number, raw in enumerate(
        (b"", b"ld.so-1.7.0\0", b"glibc-ld.so.cache1.1" + struct.pack("<I", 1 << 30) + b"\0" * 60)
    ):
        root = fakes.machine(tmp_path / str(number), {"/etc/ld.so.cache": ""})
        (root / "etc/ld.so.cache").write_bytes(raw)
        monkeypatch.setenv("ENVDOC_ROOT", str(root))
        assert {} == cached("x86_64")


def test_the_machines_own_cache(monkeypatch):
    """What ldconfig wrote here leads to the C library."""
    monkeypatch.delenv("ENVDOC_ROOT", raising=False)
    found = cached(os.uname().machine)
    if not found:
        pytest.skip("this machine has no cache of libraries")
    assert os.path.exists(found["libc.so.6"])  # noqa: PTH110
