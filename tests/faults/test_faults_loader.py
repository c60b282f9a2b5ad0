"""Machines that look like the faults of faults_loader.py and are well: neither an error nor a warning is raised."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fakes
import pytest
from box import Box
from fault import findings, raised
from faults_loader import _kernel, linked_torch
from loader_fakes import for_another_machine, library

ENVDOC = Path(sys.executable).parent / "envdoc"
HEALTHY = []


def healthy(function):
    """Register a machine that is well."""
    HEALTHY.append(function)
    return function


@healthy
def old_cudnn_is_kept_out_by_rpath(box):
    """torch's wheels have DT_RPATH: an old cuDNN on LD_LIBRARY_PATH is never opened."""
    linked_torch(box)
    library(box.folder / "old/libcudnn.so.9", defines=["cudnnCreate"])
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "old")


@healthy
def toolkit_of_another_cuda(box):
    """LD_LIBRARY_PATH has a toolkit of CUDA 11, whose names torch does not ask for."""
    linked_torch(box, rpath="", runpath="$ORIGIN/../../nvidia/cudnn/lib:$ORIGIN/../../nvidia/nccl/lib")
    for name in ("libcudart.so.11.0", "libcublas.so.11", "libcudnn.so.8"):
        library(box.folder / "cuda-11.8/lib64" / name)
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "cuda-11.8/lib64")


@healthy
def the_same_release_twice(box):
    """LD_LIBRARY_PATH leads to a copy of the very libraries that torch brings."""
    linked_torch(box, rpath="", runpath="$ORIGIN/../../nvidia/cudnn/lib")
    shutil.copytree(box.clone.site / "nvidia/cudnn/lib", box.folder / "copy")
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "copy")


@healthy
def libraries_of_another_machine(box):
    """LD_LIBRARY_PATH leads to libraries for another architecture, which the loader passes over."""
    linked_torch(box, rpath="", runpath="$ORIGIN/../../nvidia/cudnn/lib")
    own = box.clone.site / "nvidia/cudnn/lib/libcudnn.so.9"
    for_another_machine(box.folder / "arm/libcudnn.so.9", own)
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "arm")


@healthy
def own_libraries_on_the_path(box):
    """As in NVIDIA's images: LD_LIBRARY_PATH names torch's own folder, and folders of the driver."""
    linked_torch(box)
    own = box.clone.site / "torch/lib"
    box.environ["LD_LIBRARY_PATH"] = f"{own}:/usr/local/nvidia/lib:/usr/local/nvidia/lib64"


@healthy
def a_newer_libstdcxx(box):
    """conda's lib folder is on LD_LIBRARY_PATH, and its libstdc++ is as new as the system's."""
    found = subprocess.run(
        ["gcc", "-print-file-name=libstdc++.so.6"], capture_output=True, text=True, check=True
    ).stdout.strip()
    folder = box.folder / "conda/lib"
    folder.mkdir(parents=True)
    shutil.copy2(os.path.realpath(found), folder / "libstdc++.so.6")
    box.environ["LD_LIBRARY_PATH"] = str(folder)


@healthy
def an_allocator_preloaded(box):
    """LD_PRELOAD names an allocator."""
    linked_torch(box)
    box.environ["LD_PRELOAD"] = str(library(box.folder / "lib/libtcmalloc_minimal.so.4", defines=["tc_x"]))


@healthy
def environment_by_a_link(box):
    """The environment is on another disk, and VIRTUAL_ENV and PATH name it by different paths."""
    link = box.folder / "workspace"
    link.symlink_to(box.clone.folder)
    box.environ.update(VIRTUAL_ENV=str(box.clone.folder), PATH=f"{link}/bin:/usr/bin:/bin")


@healthy
def named_from_another_environment(box):
    """--python names the target while the shell is another environment's."""
    other = box.folder / "other"
    fakes.program(other / "bin", "python", "exec /usr/bin/python3")
    fakes.program(other / "bin", "accelerate", "")
    (other / "bin/accelerate").write_text(f"#!{other}/bin/python\n")
    box.environ.update(VIRTUAL_ENV=str(other), PATH=f"{other}/bin:/usr/bin:/bin")


@healthy
def download_tool_of_its_own(box):
    """`hf` is a tool with an environment of its own, before the target's on PATH."""
    programs = box.folder / "home/.local/bin"
    fakes.program(programs, "hf", "")
    (programs / "hf").write_text("#!/usr/bin/python3\nprint('mine')\n")
    box.environ["PATH"] = f"{programs}:{box.environ['PATH']}"


@healthy
def one_old_script(box):
    """A wheel brought a script for a Python that is gone."""
    programs = box.clone.own("bin")
    fakes.program(programs, "legacy2to3", "")
    (programs / "legacy2to3").write_text("#!/usr/local/bin/python2\n")


@healthy
def search_path_of_this_version(box):
    """PYTHONPATH leads to a checkout and to packages for this very version."""
    site = box.folder / "python3.11/site-packages"
    (site / "mine").mkdir(parents=True)
    (site / "mine/__init__.py").write_text("")
    for tag in ("38", "311"):
        (site / f"mine/_c.cpython-{tag}-x86_64-linux-gnu.so").write_bytes(b"")
    box.environ["PYTHONPATH"] = f"{site}:{box.work}"


@healthy
def kernels_of_several_environments(box):
    """The target's kernel is the default, and others have theirs."""
    _kernel(box, "python3", str(box.clone.python))
    _kernel(box, "system", "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable)
    box.clone.install("ipykernel", "7.1.0")


@pytest.fixture(scope="session")
def usual(patient, tmp_path_factory):
    """What a machine shows to which nothing was done."""
    plain = Box(patient, tmp_path_factory.mktemp("usual") / "cpu")
    linked = Box(patient, tmp_path_factory.mktemp("usual") / "gpu")
    linked_torch(linked)
    return findings(ENVDOC, plain) + findings(ENVDOC, linked)


@pytest.mark.parametrize("function", HEALTHY, ids=lambda function: function.__name__)
def test_healthy_machine(function, patient, tmp_path, usual):
    """Nothing above a note."""
    box = Box(patient, tmp_path / "box")
    function(box)
    found = raised(findings(ENVDOC, box), usual)
    assert [] == [(one["code"], one["title"]) for one in found if one["severity"] != "info"]
