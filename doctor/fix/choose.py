"""Which profile fits this machine: a pure function of what was found, with the one fact against each other profile."""

from dataclasses import dataclass
from typing import List, Optional, Sequence, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.snapshot import Gpu, Snapshot
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.cuda_drivers import gpu_floor
from envdoc.doctor.tables.versions import numbers

NO_PYTHON = "there is no Python"


@dataclass(frozen=True)
class Choice:
    """The profile to build, or None; why; and the one fact that excludes each of the others that do not fit.

    `gpu_unused` is True where the machine has a GPU and no profile for it fits, so that the CPU would train.
    """

    profile: Optional[Profile]
    python: Optional[Python]
    reasons: Tuple[str, ...] = ()
    rejected: Tuple[Tuple[str, str], ...] = ()  # (name of a profile, the fact)
    gpu_unused: bool = False


def choose(
    snapshot: Snapshot,
    pythons: Sequence[Python],
    profiles: Sequence[Profile],
    free_bytes: Optional[int] = None,
    wanted: Optional[str] = None,
) -> Choice:
    """The best profile for this machine.

    A CUDA profile must serve every GPU with binary code of torch and of bitsandbytes, and the driver must reach its
    floor; one whose own driver release is there comes before one that leans on minor-version compatibility, then
    the newer torch; one marked `last_resort` after all others. Without a GPU the CPU profiles come first, then any
    whose Python is there. Where a GPU is here and no CUDA profile serves it the machine is treated as one without,
    and `gpu_unused` says so.
    `free_bytes` is what the disk of envdoc's folder still holds (None: not asked). `wanted` names a profile:
    nothing else is then considered. Raises FixError for an unknown name.
    """
    if wanted is not None:
        require(wanted, profiles)
    gpus = _visible_gpus(snapshot)
    possible: List[Tuple[int, Profile]] = []
    rejected: List[Tuple[str, str]] = []
    for place, profile in enumerate(profiles):
        if wanted is not None and profile.name != wanted:
            continue
        fact = _against(profile, snapshot, pythons, free_bytes)
        if fact:
            rejected.append((profile.name, fact))
        else:
            possible.append((place, profile))
    serving_all = []
    for place, profile in possible:
        fact = _gpu_against(profile, snapshot, gpus) if gpus and not profile.is_cpu else ""
        if fact:
            rejected.append((profile.name, fact))
        elif gpus and not profile.is_cpu:
            serving_all.append((_rank_on_gpu(profile, snapshot, place), profile))
    on_cpu = [((not profile.is_cpu, place), profile) for place, profile in possible]
    if not on_cpu:
        return Choice(None, None, (), tuple(rejected))
    chosen = (
        min(serving_all, key=lambda pair: pair[0])[1]
        if serving_all
        else min(on_cpu, key=lambda pair: pair[0])[1]
    )
    python = next(python for python in pythons if python.minor == chosen.python and not python.problem)
    facts = tuple(pair for pair in rejected if pair[0] != chosen.name)
    reasons = _reasons(chosen, python, snapshot, gpus, wanted)
    return Choice(chosen, python, reasons, facts, gpu_unused=bool(gpus) and not serving_all)


def way_out(choice: Choice) -> str:
    """What to do where no profile fits: the nearest thing that would let one."""
    lacking = [fact for _, fact in choice.rejected if fact.startswith(NO_PYTHON)]
    if lacking and len(lacking) == len(choice.rejected):
        minors = ", ".join(dict.fromkeys(fact.split()[4] for fact in lacking))
        return (
            f"Install one of Python {minors} beside what is there; on Debian and Ubuntu for example "
            "`sudo apt-get install python3.12 python3.12-venv`."
        )
    return "`envdoc profiles` lists what each one needs."


def require(wanted: str, profiles: Sequence[Profile]) -> None:
    """Raise FixError where no profile has that name."""
    if wanted not in [profile.name for profile in profiles]:
        raise FixError(
            f"There is no profile `{wanted}`.",
            "Those there are: " + ", ".join(profile.name for profile in profiles) + ".",
        )


def _visible_gpus(snapshot: Snapshot) -> Tuple[Gpu, ...]:
    hidden = snapshot.variables.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    return () if hidden else snapshot.gpus


def _against(
    profile: Profile, snapshot: Snapshot, pythons: Sequence[Python], free_bytes: Optional[int]
) -> str:
    """The first fact, GPU and driver aside, that keeps the profile from this machine; empty where there is none."""
    machine = snapshot.interpreter.machine or "x86_64"
    system = snapshot.interpreter.system or "Linux"
    if (system, machine) != ("Linux", profile.machine):
        return f"it is locked for Linux {profile.machine}, and this is {system} {machine}"
    same = [python for python in pythons if python.minor == profile.python]
    if not same:
        return f"{NO_PYTHON} {profile.python} on this machine"
    if all(python.problem for python in same):
        return f"`{same[0].path}` {same[0].problem}. {same[0].hint}".rstrip(" .")
    if snapshot.host.glibc and numbers(snapshot.host.glibc) < numbers(profile.glibc):
        return f"its wheels need glibc {profile.glibc}, and this system has {snapshot.host.glibc}"
    least = profile.cpu_build.venv_bytes if profile.cpu_build else profile.venv_bytes
    if free_bytes is not None and free_bytes < least:
        return f"it needs {least / 1e9:.1f} GB of disk, and {free_bytes / 1e9:.1f} GB are free"
    return ""


def _gpu_against(profile: Profile, snapshot: Snapshot, gpus: Sequence[Gpu]) -> str:
    """Why the profile's CUDA code does not run on every GPU under this driver; empty where it does."""
    for gpu in gpus:
        if not gpu.capability:
            continue
        compiled = (
            (f"torch {profile.torch}", profile.torch_architectures),
            ("its bitsandbytes", profile.bitsandbytes_architectures),
        )
        for library, architectures in compiled:
            if serving(architectures, gpu.capability) != "binary":
                name = gpu.name or f"GPU {gpu.index}"
                code = "sm_" + gpu.capability.replace(".", "")
                return (
                    f"{library} has no code for {code} ({name}); it was built for {', '.join(architectures)}"
                )
    driver, cuda = snapshot.driver.version, snapshot.driver.cuda
    if not driver:
        # A container may show what the driver serves and hide which driver it is.
        if cuda and numbers(cuda)[:1] >= numbers(profile.cuda)[:1]:
            return ""
        return (
            f"the driver serves CUDA {cuda}, and CUDA {profile.cuda} is needed"
            if cuda
            else "no driver answers"
        )
    if numbers(driver) < numbers(profile.driver_minor):
        return f"CUDA {profile.cuda} needs driver {profile.driver_minor} or newer, and this is {driver}"
    for gpu in gpus:
        floor = gpu_floor(gpu.capability) if gpu.capability else None
        if floor and numbers(driver) < numbers(floor):
            return f"{gpu.name or 'the GPU'} needs driver {floor} or newer, and this is {driver}"
    return ""


def _exact(profile: Profile, snapshot: Snapshot) -> bool:
    if snapshot.driver.version:
        return numbers(snapshot.driver.version) >= numbers(profile.driver_exact)
    return numbers(snapshot.driver.cuda) >= numbers(profile.cuda)


def _rank_on_gpu(profile: Profile, snapshot: Snapshot, place: int) -> Tuple[bool, bool, Tuple[int, ...], int]:
    """Smaller is better: no last resort, its own driver release, newer torch, earlier in profiles.toml."""
    newer = tuple(-number for number in numbers(profile.torch))
    return (profile.last_resort, not _exact(profile, snapshot), newer, place)


def _reasons(
    profile: Profile, python: Python, snapshot: Snapshot, gpus: Sequence[Gpu], wanted: Optional[str]
) -> Tuple[str, ...]:
    reasons = [f"Python {python.version} is at `{python.path}`."]
    if wanted is not None:
        reasons.insert(0, f"You asked for `{wanted}`.")
    if not gpus:
        hidden = bool(snapshot.gpus)
        lead = "CUDA_VISIBLE_DEVICES hides every GPU" if hidden else "No GPU answers here"
        also = (
            " An NVIDIA device is on the PCI bus: once its driver works, run `envdoc fix` again."
            if snapshot.pci_devices and not hidden
            else ""
        )
        return (*reasons, f"{lead}, so this environment trains on the CPU.{also}")
    names = ", ".join(dict.fromkeys(gpu.name or f"GPU {gpu.index}" for gpu in gpus))
    if profile.is_cpu:
        return (*reasons, f"No CUDA profile fits {names}, so this environment trains on the CPU.")
    fact = _gpu_against(profile, snapshot, gpus)
    if fact:
        return (*reasons, f"It serves {names} not ({fact}), so this environment trains on the CPU.")
    driver = (
        f"driver {snapshot.driver.version}" if snapshot.driver.version else f"CUDA {snapshot.driver.cuda}"
    )
    how = (
        f"serves CUDA {profile.cuda} itself"
        if _exact(profile, snapshot)
        else f"runs CUDA {profile.cuda} by minor-version compatibility (its own driver is {profile.driver_exact})"
    )
    return (
        *reasons,
        f"torch {profile.torch} and its bitsandbytes have code for {names}.",
        f"The {driver} {how}.",
    )
