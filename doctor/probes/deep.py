"""The probes of `check --deep`: one after the other and alone, since what runs beside a measurement is measured too."""

from typing import Callable, Mapping, Sequence, Tuple

from envdoc.doctor.facts.snapshot import ProbeResult

# Seconds each may take. A GPU takes about 8 s of gpu_rates and at most 30 s of gpu_memory; machines have up to eight.
DEEP_TIMEOUT_SECONDS: Mapping[str, float] = {
    "gpu_rates": 240,
    "gpu_memory": 360,
    "nccl_all_reduce": 480,
    "loader_workers": 180,
    "lora_variants": 300,
}
DEEP_PROBES: Tuple[str, ...] = tuple(DEEP_TIMEOUT_SECONDS)
DEEP_GPU_PROBES = ("gpu_rates", "gpu_memory", "nccl_all_reduce", "lora_variants")


def run_deep(
    python: str,
    earlier: Sequence[ProbeResult],
    on_start: Callable[[str], None] = lambda name: None,
    names: Sequence[str] = DEEP_PROBES,
) -> Tuple[ProbeResult, ...]:
    """The results of the deep probes in `python`; all skipped where `earlier` shows a torch that does not run."""
    from envdoc.doctor.probes.runner import run_probes

    torch = next((result for result in earlier if result.name == "torch_runs"), None)
    if torch is not None and torch.status not in ("ran", "skipped"):
        return tuple(
            ProbeResult(name, "skipped", error="torch does not run; see torch_runs") for name in names
        )
    return tuple(
        result
        for name in names
        for result in run_probes(python, (name,), on_start, timeout_seconds=DEEP_TIMEOUT_SECONDS[name])
    )
