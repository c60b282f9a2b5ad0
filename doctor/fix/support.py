"""How the machine serves the chosen profile, in four words and in sentences.

"direct", "minor" and "unverified" mean what they mean in torch-check 0.1.4 (github.com/rice8y/torch-check, README,
"What the states mean"): everything the driver must have is there; it rests on CUDA's minor-version compatibility;
nothing is against it, and something that would decide it is not known. "cpu" is ours.
"""

from typing import List, Sequence, Tuple

from envdoc.doctor.fix.fit import gpu_obstacles, service
from envdoc.doctor.fix.machine import Card, Machine
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.tables.cuda_drivers import exact_floor, gpu_floor
from envdoc.doctor.tables.versions import numbers

# The first CUDA that compiles for it (huggingface/kernels#720: "SM103 was added in CTK 12.9"). NVIDIA's notes that
# could be read name no driver for B300, only R570 for Blackwell.
_FIRST_CUDA = {"10.3": "12.9", "12.1": "12.9"}

DIRECT, MINOR, UNVERIFIED, CPU = "direct", "minor", "unverified", "cpu"


def support(profile: Profile, machine: Machine) -> str:
    """One of the four for a profile that can be built here: "cpu" wherever no GPU would be used."""
    if profile.is_cpu or not machine.cards or gpu_obstacles(profile, machine):
        return CPU
    if _unknown(machine):
        return UNVERIFIED
    return DIRECT if service(profile, machine) == "exact" else MINOR


def sentences(profile: Profile, machine: Machine) -> Tuple[str, ...]:
    """What that means for a run, in full sentences."""
    kind = support(profile, machine)
    if kind == CPU:
        return ("Support: cpu. Training runs on the processor.",)
    if service(profile, machine) == "exact":
        how = f"{_driver(machine)} serves CUDA {profile.cuda} itself."
    else:
        own = "" if machine.goes_by_cuda else f" (its own driver is {profile.driver_exact})"
        how = f"{_driver(machine)} runs CUDA {profile.cuda} by minor-version compatibility{own}."
    limits: List[str] = []
    if service(profile, machine) == "minor":
        limits.append(
            "What is compiled already runs: torch, bitsandbytes, kernels of triton. Code that the driver would have to "
            "compile from PTX does not, nor does what came with later drivers."
        )
    if machine.libcuda == "ahead":
        limits.append(
            f"A forward-compatibility package (cuda-compat) stands before driver {machine.driver} with the libcuda of "
            f"CUDA {machine.cuda}. NVIDIA supports that on data-centre GPUs; features of the newer kernel driver are "
            "missing."
        )
    elif machine.libcuda == "behind":
        limits.append(
            f"An older libcuda, for CUDA {machine.cuda}, is loaded in place of that of driver {machine.driver}; "
            "without it more would run."
        )
    limits += [f"Not known: {text}." for text in _unknown(machine)]
    floors = {floor: card.name for card in machine.cards for floor in [_floor(card)] if floor}
    if kind != UNVERIFIED:
        limits += [f"{name} needs driver {floor} of its own, and has it." for floor, name in floors.items()]
    return (how, f"Support: {kind}. {' '.join(limits) or 'Nothing is missing.'}")


def _floor(card: Card) -> str:
    return (gpu_floor(card.capability) or "") if card.capability else ""


def _driver(machine: Machine) -> str:
    if machine.goes_by_cuda:
        return f"The CUDA {machine.cuda}" if not machine.driver else f"The libcuda of CUDA {machine.cuda}"
    return f"The driver {machine.driver}"


def _unknown(machine: Machine) -> Sequence[str]:
    """What would have to be known to be sure; empty where all is."""
    found: List[str] = []
    if not machine.driver:
        found.append(
            f"which driver this is (it says only that it serves CUDA {machine.cuda}), and so what its floors are"
        )
    if machine.libcuda == "ahead" and machine.cuda_init_code != 0:
        found.append("whether cuInit accepts the forward-compatibility package on this GPU")
    for card in machine.cards:
        if not card.capability:
            found.append(f"which GPU code {card.name} runs, since it does not tell its compute capability")
        elif not card.is_told:
            found.append(f"the compute capability of {card.name} but from its name ({card.capability})")
        first = _FIRST_CUDA.get(card.capability, "")
        floor = exact_floor(first) if first else None
        if floor and machine.driver and numbers(machine.driver) < numbers(floor):
            found.append(
                f"whether driver {machine.driver} is enough for {card.name}: {card.code} came with CUDA {first}, "
                f"so with driver {floor}"
            )
    return tuple(dict.fromkeys(found))
