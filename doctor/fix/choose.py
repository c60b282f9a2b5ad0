"""Which profile fits this machine: a pure function of what was found, with the one fact against each other profile."""

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.fix.fit import NO_PYTHON, basic_obstacles, gpu_obstacles, service
from envdoc.doctor.fix.machine import Machine, seen
from envdoc.doctor.fix.nearest import WayOut, nearest
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.support import CPU, sentences, support
from envdoc.doctor.tables.architectures import architecture
from envdoc.doctor.tables.versions import numbers

__all__ = ["NO_PYTHON", "Choice", "choose", "require", "way_out"]

_KEPT_FOR_OLD = (7, 0)  # capability; GPUs below it have no code in torch since 2.8


@dataclass(frozen=True)
class Choice:
    """The profile to build, or None; why; and the one fact that excludes each of the others that do not fit.

    `gpu_unused` is True where the machine has a GPU and no profile for it fits, so that the CPU would train.
    `support` says how the driver serves the profile: "direct", "minor", "unverified" or "cpu" (support.py); it is
    empty where there is none. `nearest` is the cheapest change that would serve the machine; None where nothing is
    wanting, or no change helps.
    """

    profile: Optional[Profile]
    python: Optional[Python]
    reasons: Tuple[str, ...] = ()
    rejected: Tuple[Tuple[str, str], ...] = ()  # (name of a profile, the fact)
    gpu_unused: bool = False
    support: str = ""
    support_notes: Tuple[str, ...] = ()  # full sentences, part of `reasons` too
    nearest: Optional[WayOut] = None
    supports: Tuple[
        Tuple[str, str], ...
    ] = ()  # (name of a profile that can be built here, its own `support`)

    def to_json(self) -> Dict[str, Any]:
        """What the choice adds to a plan's JSON: the keys `support`, `support_notes` and `way_out`."""
        return {
            "support": self.support or None,
            "support_notes": list(self.support_notes),
            "way_out": self.nearest.to_json() if self.nearest else None,
        }


def choose(
    snapshot: Snapshot,
    pythons: Sequence[Python],
    profiles: Sequence[Profile],
    free_bytes: Optional[int] = None,
    wanted: Optional[str] = None,
) -> Choice:
    """The best profile for this machine.

    A CUDA profile must serve every GPU with binary code of torch and of bitsandbytes, and the driver must reach its
    floor and that of every GPU; the order among those that do is `_rank`'s. Without a GPU the CPU profiles come
    first, then any whose Python is there. Where a GPU is here and no CUDA profile serves it the machine is treated as
    one without, and `gpu_unused` says so.
    `free_bytes` is what the disk of envdoc's folder still holds (None: not asked). `wanted` names a profile:
    nothing else is then considered. Raises FixError for an unknown name.
    """
    if wanted is not None:
        require(wanted, profiles)
        profiles = [profile for profile in profiles if profile.name == wanted]
    machine = seen(snapshot, pythons, free_bytes)
    places = {profile.name: place for place, profile in enumerate(profiles)}

    def rank(profile: Profile, on: Machine) -> Tuple[Any, ...]:
        return (*_rank(profile, on), places[profile.name])

    possible: List[Profile] = []
    serving: List[Profile] = []
    rejected: List[Tuple[str, str]] = []
    for profile in profiles:
        obstacles = basic_obstacles(profile, machine)
        if not obstacles:
            possible.append(profile)
            obstacles = gpu_obstacles(profile, machine) if machine.cards else ()
        if obstacles:
            rejected.append((profile.name, obstacles[0].fact))
        elif machine.cards and not profile.is_cpu:
            serving.append(profile)
    gpu_unused = bool(machine.cards) and not serving
    way = nearest(profiles, machine, rank) if gpu_unused or not possible else None
    if not possible:
        return Choice(None, None, (), tuple(rejected), nearest=way)
    chosen = (
        min(serving, key=lambda profile: rank(profile, machine))
        if serving
        else min(possible, key=lambda profile: (not profile.is_cpu, places[profile.name]))
    )
    python = machine.python_for(chosen.python)
    assert python is not None  # or it would not be possible
    notes = sentences(chosen, machine)
    return Choice(
        chosen,
        python,
        _reasons(chosen, python, snapshot, machine, wanted, notes),
        tuple(pair for pair in rejected if pair[0] != chosen.name),
        gpu_unused,
        support(chosen, machine),
        notes,
        way,
        tuple((profile.name, support(profile, machine)) for profile in possible),
    )


def way_out(choice: Choice) -> str:
    """What to do where no profile fits or the GPU stays unused: the cheapest change after which one does."""
    if choice.nearest is not None:
        return choice.nearest.text
    return "No change to this machine makes one fit; `envdoc profiles` lists what each one needs."


def require(wanted: str, profiles: Sequence[Profile]) -> None:
    """Raise FixError where no profile has that name."""
    if wanted not in [profile.name for profile in profiles]:
        raise FixError(
            f"There is no profile `{wanted}`.",
            "Those there are: " + ", ".join(profile.name for profile in profiles) + ".",
        )


def _rank(profile: Profile, machine: Machine) -> Tuple[bool, bool, bool, Tuple[int, ...]]:
    """Smaller is better: no last resort, none kept for GPUs of before Volta, its own driver release, newer torch.

    Minor-version compatibility costs a run nothing (all that torch and bitsandbytes launch is compiled), an old stack
    does: so the profile kept for Pascal comes after torch 2.10 even where a driver of 560 serves it directly.
    """
    newer = tuple(-number for number in numbers(profile.torch))
    targets = [target for target in map(architecture, profile.torch_architectures) if target is not None]
    kept = any(target.capability < _KEPT_FOR_OLD for target in targets)
    exact = profile.is_cpu or service(profile, machine) == "exact"
    return (profile.last_resort, kept, not exact, newer)


def _reasons(
    profile: Profile,
    python: Python,
    snapshot: Snapshot,
    machine: Machine,
    wanted: Optional[str],
    notes: Tuple[str, ...],
) -> Tuple[str, ...]:
    reasons = [f"Python {python.version} is at `{python.path}`."]
    if wanted is not None:
        reasons.insert(0, f"You asked for `{wanted}`.")
    if not machine.cards:
        hidden = bool(snapshot.gpus)
        lead = "CUDA_VISIBLE_DEVICES hides every GPU" if hidden else "No GPU answers here"
        also = (
            " An NVIDIA device is on the PCI bus: once its driver works, run `envdoc fix` again."
            if snapshot.pci_devices and not hidden
            else ""
        )
        return (*reasons, f"{lead}, so this environment trains on the CPU.{also}")
    names = ", ".join(dict.fromkeys(card.name for card in machine.cards))
    if profile.is_cpu:
        return (*reasons, f"No CUDA profile fits {names}, so this environment trains on the CPU.")
    if support(profile, machine) == CPU:
        fact = gpu_obstacles(profile, machine)[0].fact
        return (*reasons, f"It does not serve {names} ({fact}), so this environment trains on the CPU.")
    return (*reasons, f"torch {profile.torch} and its bitsandbytes have code for {names}.", *notes)
