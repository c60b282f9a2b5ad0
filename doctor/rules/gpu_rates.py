"""What `check --deep` measured on each GPU against what its model should give, and the reason where it is less."""

from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.probe_reading import ran
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule
from envdoc.doctor.tables.gpu_rates import GpuModel, floor, gpu_model, is_share

# Another program that computed during each of four looks within 0.6 s before the measurement. Our judgement.
BUSY_PERCENT = 10
# A clock under load below this share of the highest, or a power limit below this share of the board's own. Under a
# heavy load half to nine tenths of the highest clock is usual. Our judgement.
LOW_CLOCK, LOW_POWER = 0.5, 0.8
# GB/s that one lane of PCI Express carries in one direction, by generation (PCI-SIG, after encoding)
LANE_BYTES_PER_SECOND = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.97e9, 5: 3.94e9, 6: 7.56e9}
# A link that carries at most this share of what both ends could is a fault; more is a slot of fewer lanes.
NARROW = 0.25
LARGE_COPY_BYTES = 256 << 20  # a smaller copy may stay in the cache


@dataclass(frozen=True)
class Rate:
    """One rate of one GPU beside its model's."""

    what: str  # "copies" or "bfloat16"
    measured: float
    expected: float
    floor: float  # share of the expected

    @property
    def is_low(self) -> bool:
        """True below the share under which something is wrong."""
        return self.measured < self.floor * self.expected

    def __str__(self) -> str:
        unit, scale = ("GB/s", 1e9) if self.what == "copies" else ("TFLOP/s", 1e12)
        return f"{_short(self.measured / scale)} of {_short(self.expected / scale)} {unit} ({self.what})"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def _rates(gpu: Dict[str, Any], model: GpuModel) -> Iterator[Rate]:
    """The rates that can be compared: measured over enough memory, of a precision that the model's row has."""
    copy = gpu.get("copy", {})
    if copy.get("bytes", 0) >= LARGE_COPY_BYTES and "device_bytes_per_second" in copy:
        speed = copy["device_bytes_per_second"]
        yield Rate("copies", speed, model.bandwidth_bytes_per_second, floor("bandwidth"))
    for dtype, seen in gpu.get("multiply", {}).items():
        expected = model.flops_per_second.get(dtype)
        if expected and "flops_per_second" in seen and not seen.get("limited_by_memory"):
            yield Rate(dtype, seen["flops_per_second"], expected, model.matrix_floor)


def _judged(machine: Snapshot) -> List[Tuple[Dict[str, Any], Tuple[Rate, ...]]]:
    """Each GPU with its rates. Raises Skip where none can be judged."""
    result = ran(machine, "gpu_rates")
    if result.data.get("mps_share"):
        raise Skip("CUDA_MPS_ACTIVE_THREAD_PERCENTAGE gives this user a share of the GPU")
    found = []
    for gpu in result.data.get("gpus", []):
        model = gpu_model(gpu["name"])
        rates = tuple(_rates(gpu, model)) if model else ()
        if rates:
            found.append((gpu, rates))
    if not found:
        shared = any(is_share(gpu["name"]) for gpu in result.data.get("gpus", []))
        raise Skip(
            "a share of a GPU has no rates of its own" if shared else "no figures for this GPU are known"
        )
    return found


def _under_load(gpu: Dict[str, Any]) -> List[Dict[str, Any]]:
    """What NVML told in the middle of each matrix product."""
    return [seen["under_load"] for seen in gpu.get("multiply", {}).values() if seen.get("under_load")]


def slowed_by(gpu: Dict[str, Any]) -> Tuple[str, ...]:
    """Why the clocks were low, in words with numbers; empty where nothing tells."""
    looks, found = _under_load(gpu), []
    reasons = dict.fromkeys(reason for look in looks for reason in look.get("slowed_by", ()))
    found += list(reasons)
    clocks = [
        (look["sm_clock_mhz"], look["sm_clock_max_mhz"])
        for look in looks
        if look.get("sm_clock_mhz") and look.get("sm_clock_max_mhz")
    ]
    if clocks and max(now for now, _ in clocks) < LOW_CLOCK * clocks[0][1]:
        found.append(f"clock {max(now for now, _ in clocks)} of {clocks[0][1]} MHz")
    limits = [(look.get("power_limit_milliwatts"), look.get("power_default_milliwatts")) for look in looks]
    for limit, usual in limits[:1]:
        if limit and usual and limit < LOW_POWER * usual:
            found.append(f"power limit {limit / 1e3:.0f} of {usual / 1e3:.0f} W")
    degrees = [look["temperature_celsius"] for look in looks if look.get("temperature_celsius")]
    if found and degrees:
        found.append(f"{max(degrees)} degrees Celsius")
    return tuple(found)


def is_shared(gpu: Dict[str, Any]) -> bool:
    """True where another program computed on it before the measurement began."""
    return (gpu.get("utilization_before_percent") or 0) >= BUSY_PERCENT


def _problem(gpu: Dict[str, Any], low: List[Rate], **values: object) -> Problem:
    worst = min(low, key=lambda rate: rate.measured / rate.expected / rate.floor)
    names = {"gpu": shorten(gpu["name"], 24), "index": gpu["index"], "worst": worst}
    rates = "; ".join(map(str, low))
    evidence = [f"GPU {gpu['index']}: {rate}" for rate in low]
    return Problem({**names, "rates": rates, **values}, tuple(evidence), ("training speed",))


@rule("GPU050")
def throttled(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A rate is low, and the GPU says why: heat, a power cap, clocks that somebody set."""
    judged, found = _judged(machine), []
    for gpu, rates in judged:
        low = [rate for rate in rates if rate.is_low]
        reasons = slowed_by(gpu)
        if low and reasons and not is_shared(gpu):
            found.append(_problem(gpu, low, reasons=", ".join(reasons)))
    told = (f"GPU {gpu['index']}: {', '.join(map(str, rates))}" for gpu, rates in judged)
    return found or Passed({"rates": "; ".join(told)})


@rule("GPU051")
def shared(machine: Snapshot) -> List[Problem]:
    """A rate is low, and another program was computing on the GPU before the measurement began."""
    return [
        _problem(gpu, low, busy=gpu["utilization_before_percent"])
        for gpu, rates in _judged(machine)
        for low in [[rate for rate in rates if rate.is_low]]
        if low and is_shared(gpu)
    ]


@rule("GPU052")
def slow_without_reason(machine: Snapshot) -> List[Problem]:
    """A rate is low, and nothing that can be asked tells why."""
    return [
        _problem(gpu, low)
        for gpu, rates in _judged(machine)
        for low in [[rate for rate in rates if rate.is_low]]
        if low and not is_shared(gpu) and not slowed_by(gpu)
    ]


def _link(look: Dict[str, Any], suffix: str = "") -> Optional[Tuple[int, int, float]]:
    """(generation, lanes, bytes a second in one direction) of the link now, or with "_max" of the best possible."""
    generation, lanes = look.get("pcie_generation" + suffix), look.get("pcie_width" + suffix)
    if not generation or not lanes or generation not in LANE_BYTES_PER_SECOND:
        return None
    return generation, lanes, lanes * LANE_BYTES_PER_SECOND[generation]


def _links(
    machine: Snapshot,
) -> List[Tuple[Dict[str, Any], float, Tuple[int, int, float], Tuple[int, int, float]]]:
    """(GPU, measured bytes a second to it, its link under load, the best link). Raises Skip where none is known."""
    found = []
    for gpu in ran(machine, "gpu_rates").data.get("gpus", []):
        copy = gpu.get("copy", {})
        now, best = _link(copy.get("under_load", {})), _link(copy.get("under_load", {}), "_max")
        if now and best and "to_device_bytes_per_second" in copy:
            found.append((gpu, copy["to_device_bytes_per_second"], now, best))
    if not found:
        raise Skip("no GPU told its PCIe link while data was copied to it")
    return found


@rule("GPU055")
def narrow_link(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The PCIe link is, under load, far below what both ends can; the measured copies agree."""
    links = _links(machine)
    found = [
        Problem(
            {
                "gpu": shorten(gpu["name"], 24),
                "index": gpu["index"],
                "now": f"{now[0]}.0 x{now[1]}",
                "best": f"{best[0]}.0 x{best[1]}",
                "rate": f"{measured / 1e9:.1f} GB/s",
            },
            (f"GPU {gpu['index']}: {measured / 1e9:.1f} GB/s from the host",),
            ("loading of models and data",),
        )
        for gpu, measured, now, best in links
        if now[2] <= NARROW * best[2] and measured < 1.2 * now[2]
    ]
    told = (
        f"GPU {gpu['index']}: {measured / 1e9:.1f} GB/s over x{now[1]}" for gpu, measured, now, _ in links
    )
    return found or Passed({"links": "; ".join(told)})


@rule("GPU056")
def slow_host_copies(machine: Snapshot) -> List[Problem]:
    """Copies from the host are far slower than the link that the GPU reports."""
    return [
        Problem(
            {
                "gpu": shorten(gpu["name"], 24),
                "index": gpu["index"],
                "rate": f"{measured / 1e9:.1f} GB/s",
                "link": f"{now[2] / 1e9:.0f} GB/s",
            },
            (f"GPU {gpu['index']}: generation {now[0]} x{now[1]}",),
            ("loading of models and data",),
        )
        for gpu, measured, now, best in _links(machine)
        if measured < floor("host_link") * now[2] and now[2] > NARROW * best[2]
    ]
