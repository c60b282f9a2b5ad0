"""Rules about a rented machine's share and tools, and the rows of its section in the report."""

from pathlib import PurePosixPath
from typing import List, Tuple, Union

from envdoc.doctor.facts.snapshot import DiskSpeed, Kernel, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gigabytes, require_interpreter, shorten, version_of
from envdoc.doctor.rules.network import duration, measured, speed
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# torch starts a thread for each processor that it sees (OpenMP counts the affinity, not the control group's quota).
# Four times what is granted is far beyond what a scheduler evens out; our judgement.
THREADS_PER_GRANTED = 4.0

# A merged 7B model (13.5 GB) takes 2 minutes at 100 MB/s and 11 at 20; our judgement.
SLOW_DISK = 100e6
VERY_SLOW_DISK = 20e6
MERGED_BYTES = 13_500_000_000

# The report's section: what someone who chooses a machine looks at, the checks that answer it, and whether a line
# that says "not judged" may be left out.
ROWS: Tuple[Tuple[str, Tuple[str, ...], bool], ...] = (
    ("room for models", ("SYS001", "SYS042"), False),
    ("checkpoints", ("SYS043",), False),
    ("disk speed", ("SYS051",), False),
    ("package index", ("NET001", "NET002"), False),
    ("extra index", ("NET015",), True),
    ("model hub", ("NET004", "NET005"), False),
    ("model access", ("NET012",), True),
    ("mirror", ("NET013",), True),
    ("token", ("NET011",), True),
    ("git", ("NET006",), False),
    ("proxy", ("NET007",), True),
    ("certificates", ("NET003",), True),
    ("connections", ("NET014",), True),
    ("clock", ("NET010",), True),
    ("processors", ("SYS050", "SYS040"), False),
    ("memory share", ("SYS041",), True),
    ("host memory", ("SYS005", "SYS044"), False),
    ("GPU memory", ("SYS045",), False),
    ("/dev/shm", ("SYS004",), False),
    ("Jupyter", ("CFG023", "SYS052"), False),
)


@rule("SYS050")
def threads_beyond_quota(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The container is granted far less processor time than the processors that it sees."""
    host = machine.host
    if not host.cpu_count:
        raise Skip("the number of processors was not told")
    granted = min(host.cpu_limit or float(host.cpu_count), float(host.cpu_count))
    values = {"seen": host.cpu_count, "granted": f"{granted:g}", "threads": max(1, int(granted))}
    chosen = machine.variables.get("OMP_NUM_THREADS", "")
    if chosen or host.cpu_count < THREADS_PER_GRANTED * max(granted, 1.0):
        threads = f"OMP_NUM_THREADS={chosen}" if chosen else f"{host.cpu_count} threads"
        return Passed({**values, "started": shorten(threads, 30)})
    evidence = (f"{host.cpu_count} processors by affinity, {granted:g} by the control group's quota",)
    return [Problem(values, evidence, ("training speed", "tokenising"))]


@rule("SYS051")
def slow_disk(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A disk that checkpoints or models are written to takes them slowly."""
    if not machine.disk_speeds:
        raise Skip("run with --online or --deep")
    told = [(one, one.bytes_per_second) for one in machine.disk_speeds if one.bytes_per_second]
    if not told:
        first = machine.disk_speeds[0]
        raise Skip(f"the {first.purpose} folder was not written to: {first.error}")
    slow = [(one, rate) for one, rate in told if rate < SLOW_DISK]
    if not slow:
        one, rate = min(told, key=lambda pair: pair[1])
        return Passed({"purpose": one.purpose, "rate": speed(rate), "takes": duration(MERGED_BYTES / rate)})
    return [_slow(one, rate) for one, rate in slow]


@rule("SYS052")
def jupyter_starts(machine: Snapshot) -> Union[List[Problem], Passed]:
    """Jupyter is there, and cannot start a kernel in the target: there is no ipykernel."""
    measured(machine)
    require_interpreter(machine)
    target, jupyter = PurePosixPath(machine.interpreter.path), machine.jupyter
    own = [kernel for kernel in jupyter.kernels if _starts(kernel, target)]
    ipykernel = version_of(machine, "ipykernel")
    if not (jupyter.version or jupyter.inside or jupyter.kernels):
        return Passed({"state": f"Jupyter is not here; `{target.name} -m pip install jupyterlab` brings it"})
    name = f"Jupyter {jupyter.version}" if jupyter.version else "Jupyter"
    if ipykernel and own:
        state = f"{name}: kernel {shorten(own[0].name, 30)} starts this environment (ipykernel {ipykernel})"
        return Passed({"state": state})
    if ipykernel:
        raise Skip(
            f"{len(jupyter.kernels)} kernel(s) and none of them certainly this one, which CFG023 judges"
        )
    python = str(machine.interpreter.path)
    values = {"count": len(jupyter.kernels), "jupyter": shorten(name, 30), "target": python}
    evidence = tuple(f"{kernel.name}: {kernel.interpreter}" for kernel in jupyter.kernels[:5])
    commands = (
        f"{python} -m pip install ipykernel",
        f"{python} -m ipykernel install --user --name envdoc",
    )
    severity = Severity.WARNING if own and jupyter.inside else None
    return [Problem(values, evidence, ("notebooks",), severity, commands)]


def _slow(one: DiskSpeed, rate: float) -> Problem:
    values = {
        "purpose": one.purpose,
        "path": one.path,
        "rate": speed(rate),
        "takes": duration(MERGED_BYTES / rate),
    }
    evidence = (f"{one.path}: {gigabytes(one.measured_bytes)} written and synchronised at {speed(rate)}",)
    severity = Severity.WARNING if rate < VERY_SLOW_DISK else None
    return Problem(values, evidence, ("checkpoints",), severity)


def _starts(kernel: Kernel, target: PurePosixPath) -> bool:
    """Whether the kernel starts that environment; one that says only `python` starts the one Jupyter runs in."""
    program = PurePosixPath(kernel.interpreter)
    return not program.is_absolute() or program.parent == target.parent
