"""What rules ask of probe results: did it run, what did a case of it observe, and who is to blame where it did not."""

from typing import Any, Dict

from envdoc.doctor.facts.snapshot import ProbeResult, Snapshot
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.registry import Skip

ENDED_BADLY = ("crashed", "signal", "timeout")

# Which libraries a probe cannot do without.
NEEDS = {
    "llama_tokenizer": ("tokenizers", "transformers"),
    "adapter_save": ("transformers", "peft"),
    "fan_in_fan_out": ("transformers", "peft"),
    "lora_two_steps": ("transformers", "accelerate", "peft"),
    "bitsandbytes_runs": ("bitsandbytes",),
    "library_imports": (),
}


def ran(machine: Snapshot, name: str) -> ProbeResult:
    """The result of a probe that ran to its end. Raises Skip where there is none."""
    result = machine.probe(name)
    if result is None:
        raise Skip(f"the probe {name} was not run")
    if result.status == "skipped":
        raise Skip(result.error)
    if result.status in ENDED_BADLY:
        raise Skip(f"the probe {name} ended badly: {result.error}")
    return result


def version(result: ProbeResult, library: str) -> str:
    """`peft 0.13.2`, as the probe saw it."""
    return f"{library} {shorten(str(result.data.get('versions', {}).get(library) or ''), 20)}".strip()


def cases(result: ProbeResult) -> Dict[str, Dict[str, Any]]:
    """What each case of the probe observed; a case that raised has only "error"."""
    return dict(result.data.get("cases", {}))


def case(result: ProbeResult, name: str) -> Dict[str, Any]:
    """What that case observed. Raises Skip where an older envdoc's probe did not have it."""
    seen = cases(result).get(name)
    if seen is None:
        raise Skip(f"the probe {result.name} did not look at {name}")
    return seen


def import_errors(machine: Snapshot) -> Dict[str, str]:
    """Module -> error of those that library_imports could not import."""
    result = machine.probe("library_imports")
    modules = result.data.get("modules", {}) if result is not None and result.status == "ran" else {}
    return {module: seen["error"] for module, seen in modules.items() if seen.get("error")}


def bad_end(machine: Snapshot, name: str) -> ProbeResult:
    """The probe that was run and ended badly, for no reason that TRF050 tells. Raises Skip otherwise."""
    result = machine.probe(name)
    if result is None or result.status not in ENDED_BADLY:
        ran(machine, name)
        raise Skip(f"the probe {name} ran")
    broken = sorted(set(NEEDS[name]) & set(import_errors(machine)))
    if broken:
        raise Skip(f"{', '.join(broken)} cannot be imported; see TRF050")
    return result
