"""Rules about compiling at run time: which compiler nvcc takes, which GPUs it knows, what triton links with."""

import re
from typing import Dict, List, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import Model, judged_models, require_gpu, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.toolkit import JIT
from envdoc.doctor.tables.nvcc import first_toolkit, gcc_below, last_toolkit
from envdoc.doctor.tables.versions import numbers, satisfies

# Those that compile CUDA code when they run; the ones that are compiled when they are installed have had their turn.
AT_RUN_TIME = ("deepspeed", "exllamav2", "flashinfer-python")


@rule("CFG100")
def compiler_too_new(machine: Snapshot) -> List[Problem]:
    """A gcc that is newer than this nvcc takes: torch and nvcc both refuse it."""
    compiling, toolkit = _compiling(machine), machine.toolkit
    name = toolkit.host_compiler.rpartition("/")[2]
    bound = gcc_below(toolkit.version)
    if not toolkit.host_compiler_version or bound is None or "clang" in name:
        raise Skip("no compiler, no toolkit, or one that the table does not know")
    if numbers(toolkit.host_compiler_version)[:1] < numbers(bound)[:1]:
        return []
    last = str(numbers(bound)[0] - 1)
    values = {
        "gcc": toolkit.host_compiler_version,
        "toolkit": toolkit.version,
        "last": last,
        "who": compiling,
    }
    evidence = (
        f"{toolkit.host_compiler} {toolkit.host_compiler_version}",
        f"{toolkit.nvcc} {toolkit.version}",
    )
    commands = (f"sudo apt-get install -y gcc-{last} g++-{last}", f"export CC=gcc-{last} CXX=g++-{last}")
    return [Problem(values, evidence, (compiling,), commands=commands)]


@rule("CFG101")
def toolkit_does_not_know_gpu(machine: Snapshot) -> List[Problem]:
    """A toolkit older than the GPU, or one that has dropped it."""
    found, compiling = judged_models(machine), _compiling(machine)
    toolkit = machine.toolkit.version
    if not toolkit:
        raise Skip("no CUDA toolkit was found")
    problems = []
    for model in found:
        first, last = first_toolkit(model.capability), last_toolkit(model.capability)
        if first and numbers(toolkit) < numbers(first):
            wants = f"from CUDA {first} on"
        elif last and numbers(toolkit)[:1] > numbers(last)[:1]:
            wants = f"up to CUDA {last}"
        else:
            continue
        values = {"toolkit": toolkit, "sm": model.sm, "gpu": model.name, "wants": wants, "who": compiling}
        problems.append(Problem(values, (f"{machine.toolkit.nvcc} {toolkit}",), (compiling,)))
    return problems


@rule("CFG102")
def architectures_without_this_gpu(machine: Snapshot) -> List[Problem]:
    """TORCH_CUDA_ARCH_LIST leaves this machine's GPU out of what is compiled."""
    found, compiling = judged_models(machine), _compiling(machine)
    value = machine.variables.get("TORCH_CUDA_ARCH_LIST", "").strip()
    if not value:
        return []
    entries = [entry for entry in re.split(r"[;\s]+", value) if entry]
    read = [re.fullmatch(r"(\d+)\.(\d)([af]?)(\+PTX)?", entry) for entry in entries]
    wrong = [
        entry for entry, match in zip(entries, read) if match is None and not entry.split("+")[0].isalpha()
    ]
    if wrong:
        what = f"has {shorten(wrong[0], 14)}, which torch does not read"
        return [_arch_problem(value, what, compiling)]
    if any(
        match is None for match in read
    ):  # a family's name, "Hopper": torch knows those, and we do not judge them
        return []
    known = [(int(m.group(1)), int(m.group(2)), m.group(3), m.group(4)) for m in read if m is not None]
    missing = [model for model in found if not any(_serves(entry, model) for entry in known)]
    return [
        _arch_problem(value, f"has nothing for {model.sm} ({shorten(model.name, 24)})", compiling)
        for model in missing
    ]


@rule("CFG103")
def cuda_home_without_nvcc(machine: Snapshot) -> List[Problem]:
    """CUDA_HOME is a folder without nvcc: a runtime's, or one level too high."""
    compiling, toolkit = _compiling(machine), machine.toolkit
    if not toolkit.cuda_home or toolkit.home_has_nvcc is None or toolkit.cuda_home_exists is not True:
        raise Skip("CUDA_HOME is not set, or names nothing, which CFG011 judges")
    if toolkit.home_has_nvcc:
        return []
    values = {"path": shorten(toolkit.cuda_home, 34), "all": toolkit.cuda_home, "who": compiling}
    return [Problem(values, (f"{toolkit.cuda_home}/bin/nvcc is not there",), (compiling,))]


@rule("CFG104")
def triton_finds_no_libcuda(machine: Snapshot) -> List[Problem]:
    """triton asks ldconfig for libcuda.so.1, which does not know it, although the loader finds it in another way."""
    require_gpu(machine)
    triton, files = version_of(machine, "triton"), machine.driver_files
    if triton is None or satisfies(triton, "<2.2") or not machine.driver.libcuda:
        raise Skip("no triton that asks ldconfig, or no libcuda")
    if files.in_loader_cache is None:
        raise Skip("the loader's cache was not told")
    if machine.variables.get("TRITON_LIBCUDA_PATH"):
        return []
    if files.has_ldconfig is False:
        what = "runs /sbin/ldconfig, which is not there"
    elif not files.in_loader_cache and not _on_library_path(machine):
        what = "asks ldconfig for libcuda, which it does not know"
    else:
        return []
    folder = machine.driver.libcuda.rpartition("/")[0] or "/folder/of/libcuda"
    values = {"triton": shorten(triton, 16), "what": what, "libcuda": machine.driver.libcuda}
    commands = ("sudo ldconfig", f"export TRITON_LIBCUDA_PATH={folder}")
    users = [name for name in JIT if version_of(machine, name) is not None]
    severity = Severity.WARNING if users else Severity.INFO
    return [Problem(values, (f"libcuda: {machine.driver.libcuda}",), ("triton",), severity, commands)]


def _compiling(machine: Snapshot) -> str:
    names = [name for name in AT_RUN_TIME if version_of(machine, name) is not None]
    if not names:
        raise Skip("nothing that is installed compiles CUDA code when it runs")
    return names[0]


def _arch_problem(value: str, what: str, compiling: str) -> Problem:
    values: Dict[str, str] = {"value": value, "what": what, "who": compiling}
    return Problem(
        values, (f"TORCH_CUDA_ARCH_LIST={value}",), (compiling,), commands=("unset TORCH_CUDA_ARCH_LIST",)
    )


def _serves(entry: Tuple[int, int, str, str], model: Model) -> bool:
    """A binary runs on its major from its minor on, PTX on all later GPUs; a suffix binds to the very GPU or family."""
    major, minor, suffix, ptx = entry
    own = numbers(model.capability)
    if suffix == "a":
        return (major, minor) == own
    return (major == own[0] and minor <= own[1]) or bool(ptx and (major, minor) <= own)


def _on_library_path(machine: Snapshot) -> bool:
    folders = [
        entry.rstrip("/") for entry in machine.variables.get("LD_LIBRARY_PATH", "").split(":") if entry
    ]
    return any(
        library.exists
        and library.path.endswith("/libcuda.so.1")
        and library.path.rpartition("/")[0] in folders
        for library in machine.driver_files.libraries
    )
