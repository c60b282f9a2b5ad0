"""Rules about what this process may use: file sizes, seconds, address space, memory and processes that are left."""

from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gigabytes, models
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.surrounding_limits import PROCESSES
from envdoc.doctor.rules.system import ADDRESS_SPACE_BYTES, MEMORY_BYTES

# Shards of a model go up to 5 GB (transformers, max_shard_size before 5.0), each one file.
FILE_BYTES = 5 * 10**9
# A login node ends what computes longer than its limit; a fine-tune takes hours of processor time.
CPU_SECONDS = 24 * 3600
# Threads get a stack of the soft limit's size; 8 MiB is what Linux gives, and some libraries need over 512 KiB.
STACK_BYTES = 1 << 20
# Python with torch and transformers alone takes about half of this once CUDA is loaded. Our judgement.
LEFT_BYTES = 2 << 30
# DataLoader workers and compilers are forked: each must be granted the process's memory once more.
COMMIT_BYTES = 8 << 30
STRICT = 2  # vm.overcommit_memory


@rule("SYS027")
def soft_limits(machine: Snapshot) -> List[Problem]:
    """ulimit -f, -t, -d and -s: limits that end a run in its middle."""
    limits = machine.system.limits
    if not limits:
        raise Skip("no limit was told")
    problems = []
    size, seconds = limits.get("fsize"), limits.get("cpu")
    data, stack = limits.get("data"), limits.get("stack")
    if size is not None and size < FILE_BYTES:
        problems.append(
            _limit(
                "f",
                f"files of at most {gigabytes(size)}",
                "A model's file is larger, and writing it ends with `File too large`",
            )
        )
    if seconds is not None and seconds < CPU_SECONDS:
        said = (
            f"{seconds // 60} minutes of processor time"
            if seconds >= 120
            else f"{seconds} s of processor time"
        )
        problems.append(
            _limit(
                "t",
                said,
                "A run that takes longer is killed without a word; login nodes do that",
                Severity.WARNING,
            )
        )
    if data is not None and data < ADDRESS_SPACE_BYTES:
        problems.append(
            _limit(
                "d", f"{gigabytes(data)} of data", "Loading torch and a model asks for more", Severity.WARNING
            )
        )
    if stack is not None and stack < STACK_BYTES:
        problems.append(
            _limit(
                "s",
                f"{stack >> 10} KiB of stack",
                "Threads of the libraries end by SIGSEGV",
                Severity.WARNING,
            )
        )
    return problems


@rule("SYS028")
def strict_overcommit(machine: Snapshot) -> List[Problem]:
    """vm.overcommit_memory=2 with little left: fork fails although memory is free."""
    system = machine.system
    if system.overcommit_memory is None:
        raise Skip("the kernel's way to grant memory was not told")
    if system.overcommit_memory != STRICT:
        return []
    left = system.commit_left_bytes
    if left is None or left >= COMMIT_BYTES:
        return []
    evidence = ("vm.overcommit_memory = 2", f"left to grant: {gigabytes(max(left, 0))}")
    return [Problem({"left": gigabytes(max(left, 0))}, evidence, ("DataLoader workers", "compilers"))]


@rule("SYS029")
def little_memory_left(machine: Snapshot) -> List[Problem]:
    """Most of the memory is in use already."""
    host, left = machine.host, machine.system.memory_available_bytes
    if left is None or not host.memory_bytes:
        raise Skip("the memory that is left was not told")
    granted = min(host.memory_bytes, host.memory_limit_bytes or host.memory_bytes)
    if granted < MEMORY_BYTES:
        raise Skip("there is little memory altogether, which SYS005 judges")
    if left >= LEFT_BYTES:
        return []
    huge = machine.system.huge_pages_bytes
    hint = (
        f" {gigabytes(huge)} are set aside as huge pages, which no training run uses: `sudo sysctl vm.nr_hugepages=0`."
        if huge > granted // 4
        else ""
    )
    return [
        Problem(
            {"left": gigabytes(left), "granted": gigabytes(granted), "hint": hint},
            evidence=(f"{gigabytes(left)} of {gigabytes(granted)} are left",),
            affects=("loading a model",),
            severity=None if models(machine) else Severity.INFO,
        )
    ]


@rule("SYS030")
def few_processes_left(machine: Snapshot) -> List[Problem]:
    """The control group's count of processes and threads is nearly used up."""
    left = machine.system.processes_left
    if left is None or left >= PROCESSES:
        return []
    return [Problem({"left": left}, affects=("OpenMP", "DataLoader workers"))]


def _limit(letter: str, what: str, consequence: str, severity: "Severity" = Severity.ERROR) -> Problem:
    return Problem(
        {"letter": letter, "what": what, "consequence": consequence},
        evidence=(f"ulimit -{letter}: {what}",),
        affects=("training",),
        severity=severity,
        commands=(f"ulimit -{letter} unlimited",) if letter != "s" else ("ulimit -s 8192",),
    )
