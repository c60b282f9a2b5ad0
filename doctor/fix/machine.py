"""What the choice of a profile looks at: the few facts of a snapshot that decide it, ready to be compared."""

from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.tables.cuda_drivers import exact_floor, newest_cuda
from envdoc.doctor.tables.gpu_names import capability_by_name
from envdoc.doctor.tables.versions import numbers

_REFUSED = (803, 804)  # cuInit: libcuda and the kernel's module do not go together; this GPU may not do it


@dataclass(frozen=True)
class Card:
    """One GPU that a run would see."""

    index: int  # as nvidia-smi counts
    name: str
    capability: str  # "9.0"; empty: neither the driver nor its name tells it
    is_told: bool = True  # by the driver; False: taken from the product name

    @property
    def code(self) -> str:
        """`sm_90`."""
        return "sm_" + self.capability.replace(".", "")


@dataclass(frozen=True)
class Machine:
    """One machine. Every field empty or None means "not told", and is then held against nothing."""

    system: str = "Linux"
    arch: str = "x86_64"
    libc: str = ""
    glibc: str = ""
    driver: str = ""  # of the kernel's module; in WSL that of Windows
    cuda: str = ""  # the newest that libcuda serves, as it says itself
    cuda_init_code: Optional[int] = None
    is_wsl: bool = False
    is_container: bool = False
    cards: Tuple[Card, ...] = ()
    has_hidden_cards: bool = False  # CUDA_VISIBLE_DEVICES leaves some out
    pythons: Tuple[Python, ...] = ()
    free_bytes: Optional[int] = None

    @property
    def libcuda(self) -> str:
        """Whose libcuda answers: "ahead" of the driver (a cuda-compat package), "behind" it (an image's), "" its own.

        NVIDIA, CUDA Compatibility, "Forward Compatibility": the package carries the libcuda of a newer driver, and is
        for data-centre GPUs. A libcuda that cuInit refuses counts for nothing.
        """
        if self.is_wsl or not (self.driver and self.cuda) or self.cuda_init_code in _REFUSED:
            return ""
        came_with, own = exact_floor(self.cuda), newest_cuda(self.driver)
        if came_with and numbers(came_with)[:1] > numbers(self.driver)[:1]:
            return "ahead"
        return "behind" if own and numbers(self.cuda) < numbers(own) else ""

    @property
    def goes_by_cuda(self) -> bool:
        """True where the CUDA that libcuda names decides, and not the driver's version.

        A container may hide the driver. In WSL it is that of Windows, whose numbers run ahead of Linux' ("575.57.08
        (Linux)/576.57 (Windows)" are one release, says NVIDIA's list of data-centre drivers).
        """
        return bool(self.cuda) and (not self.driver or self.is_wsl or bool(self.libcuda))

    def python_for(self, minor: str) -> Optional[Python]:
        """The first interpreter of that minor version that can make an environment."""
        return next((one for one in self.pythons if one.minor == minor and not one.problem), None)


def seen(snapshot: Snapshot, pythons: Sequence[Python] = (), free_bytes: Optional[int] = None) -> Machine:
    """The machine of that snapshot, with these interpreters and that much room in envdoc's folder."""
    cards = tuple(_card(gpu.index, gpu.name, gpu.capability) for gpu in snapshot.gpus)
    visible = _visible(cards, snapshot)
    return Machine(
        system=snapshot.interpreter.system or "Linux",
        arch=snapshot.interpreter.machine or "x86_64",
        libc=snapshot.system.libc,
        glibc=snapshot.host.glibc,
        driver=snapshot.driver.version,
        cuda=snapshot.driver.cuda,
        cuda_init_code=snapshot.driver.cuda_init_code,
        is_wsl=snapshot.host.is_wsl,
        is_container=bool(snapshot.host.container),
        cards=visible,
        has_hidden_cards=len(visible) < len(cards),
        pythons=tuple(pythons),
        free_bytes=free_bytes,
    )


def _card(index: int, name: str, capability: str) -> Card:
    return Card(index, name or f"GPU {index}", capability or capability_by_name(name) or "", bool(capability))


def _visible(cards: Tuple[Card, ...], snapshot: Snapshot) -> Tuple[Card, ...]:
    """Those that CUDA_VISIBLE_DEVICES leaves; all of them where it cannot be told which that are.

    CUDA counts from the fastest on, and as nvidia-smi does only with CUDA_DEVICE_ORDER=PCI_BUS_ID; among equal cards
    that makes no difference. The list ends at the first entry that is no card.
    """
    value = snapshot.variables.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return cards
    entries = [entry.strip() for entry in value.split(",")]
    if entries[0] in ("", "-1"):
        return ()
    in_order = snapshot.variables.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    if not all(entry.lstrip("-").isdigit() for entry in entries):
        return cards  # a UUID: the snapshot keeps none
    if not in_order and len({card.capability for card in cards}) > 1:
        return cards
    by_index = {str(card.index): card for card in cards}
    kept = []
    for entry in entries:
        if entry not in by_index or by_index[entry] in kept:
            break
        kept.append(by_index[entry])
    return tuple(kept)
