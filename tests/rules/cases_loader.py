"""For each rule about the loader, the shell and notebooks: machines that fail it and machines that pass."""

from dataclasses import replace

from rule_machines import SITE, machine

from envdoc.doctor.facts.snapshot import (
    ForeignScripts,
    Kernel,
    Launcher,
    Loading,
    Override,
    PathEntry,
    Preload,
    ProbeResult,
)
from envdoc.doctor.facts.surroundings import StrayLibrary

M = machine()
OLD = "/srv/old/lib"
USER_SITE = "/home/user/.local/lib/python3.12/site-packages"
CUDNN = f"{SITE}/nvidia/cudnn/lib"


def override(
    soname, taken=f"{OLD}/", own=f"{SITE}/nvidia/", by="LD_LIBRARY_PATH", versions=("", ""), **fields
):
    """That library, taken from outside."""
    values = {"asked_by": f"{SITE}/torch/lib/libtorch_cuda.so", "is_own": True, **fields}
    values.update(taken_version=versions[0], own_version=versions[1])
    return Override(soname, taken + soname, own + soname if own else "", by, **values)


def overridden(*overrides, preloads=(), **variables):
    """The machine on which the loader takes these."""
    loading = Loading(True, overrides, preloads, tuple(one.taken for one in overrides), ("libcudnn.so.9",))
    return M.but(loading=loading).with_variables(
        **(variables or {"LD_LIBRARY_PATH": f"{OLD}:/opt/tools/lib"})
    )


NOTHING_TAKEN = M.but(loading=Loading(True, asked=("libcudnn.so.9",))).with_variables(LD_LIBRARY_PATH=OLD)
OLD_CXX = override(
    "libstdc++.so.6",
    own="/usr/lib/x86_64-linux-gnu/",
    is_own=False,
    missing_versions=("GLIBCXX_3.4.30 (libtorch_cpu.so)", "CXXABI_1.3.13 (a.so)", "GLIBCXX_3.4.9 (b.so)"),
)


def shell(target=M, python="/home/user/env/bin/python", **fields):
    """The machine with that in its shell, and that python first on PATH."""
    return target.surroundings(path_python=python).but(shell=replace(target.snapshot.shell, **fields))


def launcher(name, interpreter, path="", **fields):
    """The machine on which PATH starts that launcher."""
    return shell(launchers=(Launcher(name, path or f"/home/user/.local/bin/{name}", interpreter, **fields),))


def kernels(*told, server="", target=M, inside=False):
    """The machine with these kernels: (name, interpreter, is it there)."""
    folder = "/home/user/.local/share/jupyter/kernels"
    specs = tuple(Kernel(name, python, f"{folder}/{name}/kernel.json", there) for name, python, there in told)
    return target.jupyter(kernels=specs, server_python=server, inside=inside)


def loaded(*paths, target=M):
    """The machine on which the probe found these files loaded."""
    outside = [path for path in paths if not path.startswith(SITE)]
    data = {"loaded_libraries": list(paths), "loaded_from_outside": outside}
    return target.but(probes=(ProbeResult("torch_runs", "ran", data=data),))


WITH_KERNEL = M.installed(ipykernel="7.0.0")
OWN_KERNEL = ("python3", "/home/user/env/bin/python3", True)
SCRIPTS = (ForeignScripts("/home/user/old/bin/python", False, 14, ("accelerate", "hf", "pip", "torchrun")),)
COPIED = (ForeignScripts("/home/user/other/bin/python3", True, 14, ("accelerate", "hf", "pip", "torchrun")),)

FAILING = {
    "CFG060": [
        overridden(override("libcudnn.so.9", versions=("9.1.0", "9.19.0.56"))),
        overridden(
            override(
                "libnvJitLink.so.12",
                versions=("12.1.105", "12.4.127"),
                missing_symbols=("__nvJitLinkComplete_12_4",),
            )
        ),
        overridden(override("libcurand.so.10", versions=("10.2.9", "10.4.0.35"))),
        overridden(override("libcublas.so.13", versions=("13.4.0", "13.1.0.3"))),
        overridden(override("libnccl.so.2")),
        overridden(override("libcudnn.so.9", problem="libcudnn.so.9 is empty")),
        overridden(
            override("libcudnn_ops.so.9", versions=("9.30.0", "9.19.0.56")),
            override("libcudnn_cnn.so.9", versions=("9.30.0", "9.19.0.56")),
        ),
        overridden(
            override("libcudnn.so.9", versions=("9.30.0", "9.19.0.56")),
            override("libcudnn_ops.so.9", versions=("9.30.0", "9.19.0.56")),
        ),
        overridden(override("libnvJitLink.so.13", versions=("13.0.39", "13.1.80"))),
        overridden(
            override("libnccl.so.2", by="LD_PRELOAD", versions=("2.18.1", "2.28.9")),
            LD_PRELOAD=f"{OLD}/libnccl.so.2",
        ),
    ],
    "CFG061": [
        overridden(OLD_CXX, LD_LIBRARY_PATH="/srv/old/lib"),
        overridden(override("libz.so.1", own="", problem="libz.so.1 is truncated", is_own=False)),
    ],
    "CFG062": [
        overridden(
            preloads=(
                Preload(
                    "/usr/local/cuda/lib64/stubs/libcuda.so", path="/usr/local/cuda/lib64/stubs/libcuda.so"
                ),
            )
        ),
        overridden(preloads=(Preload("/opt/fake/libnvidia-ml.so.1", path="/opt/fake/libnvidia-ml.so.1"),)),
    ],
    "SYS060": [
        overridden(
            preloads=(
                Preload("/usr/local/vgpu/libvgpu.so", "/etc/ld.so.preload", "/usr/local/vgpu/libvgpu.so"),
            )
        ),
        overridden(preloads=(Preload("/usr/local/vgpu/libvgpu.so", "/etc/ld.so.preload", "", "gone"),)),
    ],
    "CFG063": [
        launcher("accelerate", "/usr/bin/python3"),
        launcher("torchrun", "/home/user/miniconda3/bin/python", "/home/user/miniconda3/bin/torchrun"),
        launcher(
            "accelerate", "/home/user/gone/bin/python", is_there=False, own="/home/user/env/bin/accelerate"
        ),
    ],
    "CFG064": [
        shell(python="/home/user/miniconda3/bin/python").with_variables(VIRTUAL_ENV="/home/user/env"),
        shell(python="/usr/bin/python3").with_variables(VIRTUAL_ENV="/home/user/env/"),
    ],
    "CFG065": [
        shell(virtual_env_exists=True).with_variables(VIRTUAL_ENV="/home/user/other"),
        shell(virtual_env_exists=False).with_variables(VIRTUAL_ENV="/home/user/gone"),
    ],
    "CFG066": [
        shell(foreign_scripts=SCRIPTS, activate_prefix="/home/user/old"),
        shell(foreign_scripts=COPIED, activate_prefix="/home/user/other"),
    ],
    "CFG067": [
        shell(python_path=(PathEntry("/srv/py38/site-packages", True, "3.8", ("numpy", "yaml")),)),
        shell(python_path=(PathEntry("/usr/lib/python3.8/site-packages", True, "3.8"),)),
    ],
    "CFG068": [shell(python_path=(PathEntry("/srv/gone", False),))],
    "CFG069": [
        M.with_variables(PYTHONHOME="/opt/app/python"),
        shell(
            start_error="`python` is a Python that does not start (exit status 1). It said: Fatal"
        ).with_variables(PYTHONHOME="/opt/app/python"),
        shell(
            start_error="`python` is a Python that does not start (exit status 1). It said: Fatal"
        ).with_variables(PYTHONPATH="/srv/py38/lib"),
    ],
    "CFG070": [shell(customisation=("/opt/tracer/sitecustomize.py",))],
    "CFG075": [
        M.interpreter(user_site_enabled=True, user_site=USER_SITE).changed_package("peft", location=USER_SITE)
    ],
    "CFG071": [
        kernels(
            ("python3", "/usr/bin/python3", True), target=WITH_KERNEL, server="/home/user/env/bin/python"
        ),
        kernels(("python3", "/usr/bin/python3", True), target=WITH_KERNEL, inside=True),
        kernels(("python3", "python", None), target=WITH_KERNEL, server="/opt/jupyter/bin/python"),
        kernels(
            ("python3", "/usr/bin/python3", True), ("env", "/home/user/env/bin/python", True), inside=True
        ),
    ],
    "CFG072": [
        kernels(("python3", "/home/user/gone/bin/python", False)),
        kernels(OWN_KERNEL, ("old", "/home/user/gone/bin/python", False)),
    ],
    "CFG073": [
        loaded("/usr/local/cuda/lib64/libcudnn.so.9.1.0", f"{SITE}/nvidia/cublas/lib/libcublas.so.13"),
        loaded(f"{OLD}/libnccl.so.2").with_variables(LD_LIBRARY_PATH=OLD),
    ],
    "CFG074": [loaded(f"{CUDNN}/libcudnn.so.9", "/usr/lib/x86_64-linux-gnu/libcudnn.so.9.1.0")],
}

PASSING = {
    "CFG060": [
        NOTHING_TAKEN,
        overridden(override("libcudnn.so.9", is_same=True)),
        overridden(override("libcudnn.so.9", versions=("9.19.0", "9.19.0.56"))),
        overridden(override("libcudnn.so.9", own="/usr/lib/", is_own=False)),
        overridden(OLD_CXX),  # CFG061's
    ],
    "CFG061": [NOTHING_TAKEN, overridden(override("libnccl.so.2"))],
    "CFG062": [
        M,
        overridden(preloads=(Preload("libtcmalloc.so.4", path="/usr/lib/libtcmalloc.so.4"),)),
        overridden(preloads=(Preload("/usr/local/vgpu/libvgpu.so", "/etc/ld.so.preload", "/x"),)),
    ],
    "SYS060": [M, overridden(preloads=(Preload("libjemalloc.so.2", path="/usr/lib/libjemalloc.so.2"),))],
    "CFG063": [
        launcher("accelerate", "/home/user/env/bin/python3", "/home/user/env/bin/accelerate"),
        launcher("accelerate", "/home/user/old/bin/python", "/home/user/env/bin/accelerate"),  # CFG066's
        launcher("hf", "/home/user/.local/share/uv/tools/hf/bin/python"),  # a tool of its own
        launcher("deepspeed", "/usr/bin/python3"),  # the target has none
        launcher("accelerate", ""),
    ],
    "CFG064": [
        shell().with_variables(VIRTUAL_ENV="/home/user/env"),
        shell(python="/home/user/env/bin/python3").with_variables(VIRTUAL_ENV="/home/user/env/"),
    ],
    "CFG065": [
        shell(virtual_env_exists=True).with_variables(VIRTUAL_ENV="/home/user/env"),
        # the target was named by --python, and the shell is another environment's through and through
        shell(python="/home/user/other/bin/python", virtual_env_exists=True).with_variables(
            VIRTUAL_ENV="/home/user/other"
        ),
    ],
    "CFG066": [
        M,
        shell(activate_prefix="/home/user/env"),
        shell(
            foreign_scripts=(ForeignScripts("/usr/bin/python3", True, 1, ("mine",)),),
            activate_prefix="/home/user/env",
        ),
    ],
    "CFG067": [
        shell(
            python_path=(PathEntry("/srv/code"), PathEntry("/srv/gone/python3.8/site-packages", False, "3.8"))
        ),
        shell(python_path=(PathEntry("/srv/lib/python3.12/site-packages", True, ""),)),
    ],
    "CFG068": [M, shell(python_path=(PathEntry("/srv/code"),))],
    "CFG069": [M, M.with_variables(PYTHONPATH="/srv/code")],
    "CFG070": [M],
    "CFG075": [
        M.interpreter(user_site_enabled=True, user_site=USER_SITE),
        M.interpreter(user_site_enabled=True, user_site=SITE),
        M.interpreter(user_site_enabled=True, user_site=USER_SITE).changed_package(
            "urllib3", location=USER_SITE
        ),
    ],
    "CFG071": [
        kernels(OWN_KERNEL),
        kernels(("python3", "python", None), server="/home/user/env/bin/python"),
        kernels(("python3", "/home/user/gone/bin/python", False)),  # CFG072's
    ],
    "CFG072": [kernels(OWN_KERNEL), kernels(OWN_KERNEL, ("env", "/home/user/env/bin/python", True))],
    "CFG073": [
        loaded(f"{CUDNN}/libcudnn.so.9", "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05"),
        # no wheel brought it: an image with its own libraries
        loaded("/usr/lib/x86_64-linux-gnu/libcublas.so.13.0.1", f"{CUDNN}/libcudnn.so.9"),
        loaded("/usr/local/cuda/lib64/libcudnn.so.9.1.0", target=M.installed(nvidia_cudnn_cu13=None)),
    ],
    "CFG074": [
        loaded(
            f"{CUDNN}/libcudnn.so.9", f"{CUDNN}/libcudnn_ops.so.9", f"{SITE}/nvidia/cu13/lib/libcudart.so.13"
        )
    ],
}

# The old rules where the model of the loader answers: what is kept out is an info, what is taken is CFG060's.
KEPT_OUT = NOTHING_TAKEN.surroundings(
    stray_libraries=(StrayLibrary(f"{OLD}/libcudnn.so.9", "LD_LIBRARY_PATH"),)
)
TAKEN = overridden(override("libcudnn.so.9", versions=("9.1.0", "9.19.0.56"))).surroundings(
    stray_libraries=(StrayLibrary(f"{OLD}/libcudnn.so.9", "LD_LIBRARY_PATH"),)
)
