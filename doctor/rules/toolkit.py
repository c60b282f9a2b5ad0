"""Rules about the CUDA toolkit and the host compiler, which matter only where something compiles."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import models, require_cuda_torch, require_torch, torch_name, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers

# Packages that compile CUDA code against torch: the first three when they run, the others when they are installed or
# upgraded from source. torch.utils.cpp_extension refuses a toolkit of another major than torch's CUDA.
COMPILES = ("deepspeed", "exllamav2", "flashinfer-python", "flash-attn", "apex", "causal-conv1d", "mamba-ssm")

# Packages whose kernels triton compiles when training starts, with the host's C compiler for the launcher.
JIT = ("liger-kernel", "unsloth", "flash-linear-attention")


@rule("CFG010")
def toolkit_and_torch(machine: Snapshot) -> List[Problem]:
    """A toolkit of another CUDA major than torch's: harmless unless something compiles."""
    torch, cuda = require_cuda_torch(machine)
    toolkit = machine.toolkit
    if not toolkit.version:
        raise Skip("no CUDA toolkit was found")
    if numbers(toolkit.version)[:1] == numbers(cuda)[:1]:
        return []
    compiling = [name for name in COMPILES if version_of(machine, name) is not None]
    if compiling:
        consequence = f"{', '.join(compiling)} compiles against torch here, and torch refuses that toolkit"
    else:
        consequence = (
            "torch brings its own CUDA, and nothing that is installed here compiles, so this is harmless"
        )
    return [
        Problem(
            {
                "toolkit": toolkit.version,
                "torch": torch_name(torch),
                "cuda": cuda,
                "consequence": consequence,
            },
            evidence=(f"{toolkit.nvcc}: {toolkit.version}",),
            affects=tuple(compiling),
            severity=Severity.WARNING if compiling else None,
        )
    ]


@rule("CFG011")
def cuda_home_missing(machine: Snapshot) -> List[Problem]:
    """CUDA_HOME names a folder that is not there."""
    toolkit = machine.toolkit
    if not toolkit.cuda_home:
        raise Skip("CUDA_HOME is not set")
    if toolkit.cuda_home_exists is not False:
        return []
    compiling = [name for name in COMPILES if version_of(machine, name) is not None]
    consequence = (
        f"{', '.join(compiling)} looks there when it compiles, and stops"
        if compiling
        else "only a compilation would look there"
    )
    return [
        Problem(
            {"path": toolkit.cuda_home, "consequence": consequence},
            evidence=(f"CUDA_HOME={toolkit.cuda_home}",),
            affects=tuple(compiling),
            severity=Severity.ERROR if "deepspeed" in compiling else None,
        )
    ]


@rule("CFG012")
def no_host_compiler(machine: Snapshot) -> List[Problem]:
    """No C compiler: triton's launchers want one, and on the CPU torch.compile does."""
    require_torch(machine)
    if machine.toolkit.host_compiler:
        return []
    if not models(machine):
        consequence = "only torch.compile and packages that are built from source need one"
        return [Problem({"consequence": consequence}, severity=Severity.INFO)]
    users = [name for name in JIT if version_of(machine, name) is not None]
    consequence = (
        f"{', '.join(users)} is installed and will stop at its first kernel"
        if users
        else "only torch.compile and packages with triton kernels need one"
    )
    return [
        Problem(
            {"consequence": consequence}, affects=tuple(users), severity=Severity.WARNING if users else None
        )
    ]
