"""Rules about what wheels are made for: C library, processor, C++ runtime, kernel; and about clock and devices."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_interpreter, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers, satisfies

_X86_64_V2 = ("sse4_1", "sse4_2", "ssse3", "popcnt")  # those of the x86-64-v2 level that facts keep
_KERNEL = "5.5"  # accelerate 1.15.0, utils/other.py, check_os_kernel
_LATEST = "2036-01-01"  # certificates that servers use today have ended by then


@rule("SYS025")
def no_wheels_for_musl(machine: Snapshot) -> List[Problem]:
    """Alpine's C library, for which no torch, no bitsandbytes and no CUDA library is built."""
    if not machine.system.libc:
        raise Skip("the C library was not told")
    if machine.system.libc != "musl" or machine.torch is not None:
        return []
    name = machine.host.distribution or "This system"
    return [Problem({"name": shorten(name, 30)}, affects=("torch", "bitsandbytes"))]


@rule("SYS026")
def old_processor(machine: Snapshot) -> List[Problem]:
    """A processor, mostly a virtual one, without the instructions that wheels are compiled for."""
    require_interpreter(machine)
    flags = machine.system.cpu_flags
    if machine.interpreter.machine != "x86_64" or flags is None:
        raise Skip("the processor is no x86_64, or does not tell what it can")
    name = shorten(machine.system.cpu_model or "The processor", 30)
    missing = [flag for flag in _X86_64_V2 if flag not in flags]
    numpy = version_of(machine, "numpy")
    if missing:
        strict = numpy is not None and satisfies(numpy, ">=2.4")
        consequence = (
            f"numpy {numpy} is compiled for x86-64-v2 and refuses to be imported"
            if strict
            else "numpy 2.4, pyarrow and others are compiled for x86-64-v2 and end by an illegal instruction"
        )
        values = {"name": name, "missing": missing[0].replace("_", ".").upper(), "consequence": consequence}
        return [
            Problem(
                values,
                evidence=(f"missing: {', '.join(missing)}",),
                affects=("numpy", "datasets"),
                severity=Severity.ERROR if strict else Severity.WARNING,
            )
        ]
    if "avx" not in flags:
        consequence = (
            "some wheels are compiled for it and end by an illegal instruction; torch goes on, slowly"
        )
        values = {"name": name, "missing": "AVX", "consequence": consequence}
        return [Problem(values, evidence=(f"has {', '.join(flags)}",), severity=Severity.INFO)]
    return []


@rule("SYS034")
def old_kernel(machine: Snapshot) -> List[Problem]:
    """A kernel of which accelerate warns that processes may hang."""
    kernel = machine.host.kernel
    if not numbers(kernel):
        raise Skip("the kernel's version was not told")
    if numbers(kernel) >= numbers(_KERNEL) or version_of(machine, "accelerate") is None:
        return []
    return [Problem({"kernel": shorten(kernel, 30)}, affects=("accelerate",))]


@rule("SYS035")
def no_cpp_runtime(machine: Snapshot) -> List[Problem]:
    """The loader finds no libstdc++.so.6, which torch and most compiled wheels need."""
    if machine.system.has_cpp_runtime is None:
        raise Skip("the loader's cache was not told")
    if machine.system.has_cpp_runtime:
        return []
    distribution = machine.host.distribution.lower()
    is_debian = "debian" in distribution or "ubuntu" in distribution
    commands = ("apt-get update", "apt-get install -y libstdc++6") if is_debian else ()
    return [Problem({}, affects=("torch", "numpy", "pyarrow"), commands=commands)]


@rule("SYS036")
def clock_ahead(machine: Snapshot) -> List[Problem]:
    """The clock is years ahead."""
    if not machine.taken_at:
        raise Skip("the snapshot does not tell when it was taken")
    if machine.taken_at[:10] < _LATEST:
        return []
    return [Problem({"now": machine.taken_at[:10]}, (f"now {machine.taken_at}",), ("downloads",))]


@rule("SYS037")
def broken_device(machine: Snapshot) -> List[Problem]:
    """/dev/null is a file, or is closed."""
    if machine.system.user_id is None:
        raise Skip("the devices were not looked at")
    return [Problem({"path": path}, affects=("every program",)) for path in machine.system.unwritable_devices]
