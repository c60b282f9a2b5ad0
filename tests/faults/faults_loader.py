"""Faults of the dynamic loader's variables, of what a shell starts, and of Jupyter's kernels."""

import json

import fakes
from fault import fault
from loader_fakes import for_another_machine, library

LOOSE = ["TOR", "PKG", "DRV", "CFG"]
RPATH = (
    "$ORIGIN/../../nvidia/cudnn/lib:$ORIGIN/../../nvidia/nccl/lib:$ORIGIN/../../nvidia/cusparse/lib:$ORIGIN"
)


def linked_torch(box, rpath=RPATH, runpath=""):
    """A GPU machine whose torch needs cuDNN, NCCL and cuSPARSE, and finds them in nvidia's wheels as real ones do."""
    box.gpu_machine()
    clone = box.clone
    for wheel, version in (
        ("cudnn", "9.19.0.56"),
        ("nccl", "2.28.9"),
        ("cusparse", "12.6.0"),
        ("nvjitlink", "13.0.88"),
    ):
        name = f"nvidia-{wheel}-cu13" if wheel in ("cudnn", "nccl") else f"nvidia-{wheel}"
        clone.install(name, version, files={f"nvidia/{wheel}/lib/.keep": ""})
    nvidia = clone.site / "nvidia"
    library(nvidia / "cudnn/lib/libcudnn.so.9", defines=["cudnnCreate"])
    library(nvidia / "nccl/lib/libnccl.so.2", defines=["ncclCommInitRank"])
    library(nvidia / "nvjitlink/lib/libnvJitLink.so.13", defines=["__nvJitLinkCreate_13_0"])
    library(
        nvidia / "cusparse/lib/libcusparse.so.12",
        ["libnvJitLink.so.13"],
        runpath="$ORIGIN/../../nvjitlink/lib",
        calls={"__nvJitLinkCreate_13_0": ""},
    )
    folder = clone.package("torch/lib")
    (folder / "libtorch_cuda.so").unlink()
    library(
        folder / "libtorch_cuda.so",
        ["libcudnn.so.9", "libnccl.so.2", "libcusparse.so.12"],
        rpath=rpath,
        runpath=runpath,
    )
    for module in clone.package("torch").glob("_C.*.so"):
        name = module.name
        clone.package(f"torch/{name}")
        (clone.site / "torch" / name).unlink()
        library(clone.site / "torch" / name, ["libtorch_cuda.so"], rpath="$ORIGIN/lib")
    clone.settle("torch")


@fault("L60", "CFG060", also=LOOSE, says=["nvJitLink", "LD_LIBRARY_PATH"])
def old_nvjitlink_for_cusparse(box):
    """LD_LIBRARY_PATH gives cuSPARSE an old nvJitLink: torch has DT_RPATH, and its cuSPARSE has DT_RUNPATH."""
    linked_torch(box)
    library(box.folder / "old/libnvJitLink.so.13", defines=["__nvJitLinkCreate_12_9"])
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "old")


@fault("L61", "CFG060", also=LOOSE, says=["libcudnn", "LD_LIBRARY_PATH"])
def old_cudnn_before_runpath(box):
    """LD_LIBRARY_PATH gives torch cuDNN 9.1: this build of torch has DT_RUNPATH."""
    linked_torch(box, rpath="", runpath=RPATH)
    library(box.folder / "old/libcudnn.so.9.1.0", soname="libcudnn.so.9", defines=["cudnnCreate"])
    (box.folder / "old/libcudnn.so.9").symlink_to("libcudnn.so.9.1.0")
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "old")


@fault("L62", "CFG060", also=LOOSE, says=["libnccl", "LD_PRELOAD"])
def old_nccl_preloaded(box):
    """LD_PRELOAD forces NCCL 2.18 into the run."""
    linked_torch(box)
    library(box.folder / "old/libnccl.so.2.18.1", soname="libnccl.so.2", defines=["ncclCommInitRank"])
    box.environ["LD_PRELOAD"] = str(box.folder / "old/libnccl.so.2.18.1")


@fault("L63", "CFG060", also=LOOSE, says=["libcudnn"])
def empty_cudnn_on_the_path(box):
    """LD_LIBRARY_PATH leads to an empty libcudnn.so.9, before torch's own."""
    linked_torch(box, rpath="", runpath=RPATH)
    (box.folder / "old").mkdir()
    (box.folder / "old/libcudnn.so.9").write_bytes(b"")
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "old")


@fault("L64", "CFG061", also=LOOSE, says=["GLIBCXX", "libstdc++"])
def conda_lib_with_old_libstdcxx(box):
    """LD_LIBRARY_PATH has conda's lib folder, whose libstdc++ is of 2013."""
    library(box.folder / "conda/lib/libstdc++.so.6", defines=["old_symbol"], version="GLIBCXX_3.4")
    box.environ["LD_LIBRARY_PATH"] = str(box.folder / "conda/lib")


@fault("L65", "CFG062", says=["stub", "LD_PRELOAD"])
def stub_preloaded(box):
    """LD_PRELOAD names the toolkit's stub of libcuda."""
    box.gpu_machine()
    box.environ["LD_PRELOAD"] = str(
        library(box.folder / "cuda/lib64/stubs/libcuda.so", soname="libcuda.so.1")
    )


@fault("L66", "CFG045", says=["LD_PRELOAD"])
def preload_for_another_machine(box):
    """LD_PRELOAD names a library that is for another architecture."""
    original = library(box.folder / "libmine.so")
    box.environ["LD_PRELOAD"] = str(for_another_machine(box.folder / "other/libmine.so", original))


@fault("L67", "SYS060", says=["ld.so.preload"])
def preload_file_leads_nowhere(box):
    """/etc/ld.so.preload names a library that was removed."""
    path = box.root / "etc/ld.so.preload"
    path.write_text("/usr/local/gone/libshare.so\n")


@fault("L68", "CFG063", says=["accelerate"])
def accelerate_of_the_system(box):
    """`accelerate` on PATH runs on the system's Python."""
    programs = box.folder / "programs"
    fakes.program(programs, "accelerate", "")
    (programs / "accelerate").write_text("#!/usr/bin/python3\nprint('mine')\n")
    box.environ["PATH"] = f"{programs}:{box.environ['PATH']}"


@fault("L69", "CFG064", says=["VIRTUAL_ENV"])
def another_python_before_the_environment(box):
    """The environment is active, and a folder with another python stands before it on PATH."""
    programs = box.folder / "programs"
    fakes.program(programs, "python", "exec /usr/bin/python3")
    box.environ.update(PATH=f"{programs}:{box.environ['PATH']}", VIRTUAL_ENV=str(box.clone.folder))


@fault("L70", "CFG065", says=["VIRTUAL_ENV"])
def variable_of_another_environment(box):
    """VIRTUAL_ENV names another environment than the one whose python is first on PATH."""
    other = box.folder / "other"
    fakes.program(other / "bin", "python", "exec /usr/bin/python3")
    box.environ["VIRTUAL_ENV"] = str(other)


@fault("L71", "CFG066", says=["bad interpreter"])
def environment_moved(box):
    """The environment was moved: its programs name the old folder."""
    programs = box.clone.own("bin")
    for name in ("accelerate", "torchrun", "hf"):
        (programs / name).unlink(missing_ok=True)
        fakes.program(programs, name, "")
        (programs / name).write_text("#!/nonexistent/env/bin/python\nprint('mine')\n")


@fault("L72", "CFG067", also=["PKG"], says=["PYTHONPATH"])
def packages_of_python_38(box):
    """PYTHONPATH leads to the site-packages of Python 3.8, with its compiled numpy."""
    site = box.folder / "python3.8/site-packages"
    core = site / "numpy/core"
    core.mkdir(parents=True)
    (site / "numpy/__init__.py").write_text('__version__ = "1.24.4"\n')
    (core / "_multiarray_umath.cpython-38-x86_64-linux-gnu.so").write_bytes(b"")
    box.environ["PYTHONPATH"] = str(site)


@fault("L73", "CFG068", says=["PYTHONPATH"])
def search_path_leads_nowhere(box):
    """PYTHONPATH names a checkout that was deleted."""
    box.environ["PYTHONPATH"] = str(box.folder / "deleted/src")


@fault("L74", "CFG070", says=["sitecustomize"])
def customised_from_outside(box):
    """A sitecustomize on PYTHONPATH."""
    folder = box.folder / "tracer"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text("import sys\n")
    box.environ["PYTHONPATH"] = str(folder)


@fault("L75", "CFG071", says=["kernel"])
def default_kernel_of_the_system(box):
    """The user's kernel python3 starts the system's Python, and the environment has a kernel of its own."""
    _kernel(box, "python3", "/usr/bin/python3")
    box.clone.install("ipykernel", "7.1.0")
    box.environ["JUPYTER_PREFER_ENV_PATH"] = "0"


@fault("L76", "CFG072", says=["kernel"])
def kernel_of_a_deleted_environment(box):
    """The only kernel starts an interpreter that is gone."""
    _kernel(box, "python3", "/nonexistent/env/bin/python")


def _kernel(box, name, python):
    folder = box.home / ".local/share/jupyter/kernels" / name
    folder.mkdir(parents=True)
    spec = {"argv": [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": name}
    (folder / "kernel.json").write_text(json.dumps(spec))
