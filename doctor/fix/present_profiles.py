"""The profiles as text for a person and as plain data for a program: yes or no for this machine, and the one fact."""

from typing import Any, Dict, List, Sequence

from envdoc.doctor.fix.choose import Choice
from envdoc.doctor.fix.present import size
from envdoc.doctor.fix.profiles import Profile


def profiles_text(profiles: Sequence[Profile], choice: Choice) -> str:
    """Every profile with what it needs, and the one fact against each that does not fit this machine."""
    facts, supports = dict(choice.rejected), dict(choice.supports)
    lines: List[str] = []
    for profile in profiles:
        chosen = choice.profile is not None and choice.profile.name == profile.name
        lines.append(f"{'*' if chosen else ' '} {profile.name}: {profile.title}")
        if not profile.is_cpu:
            lines.append(
                f"      driver {profile.driver_minor} or newer ({profile.driver_exact} for everything); "
                f"GPU code {' '.join(profile.torch_architectures)}"
            )
        lines.append(
            f"      {size(profile.download_bytes)} to download, {size(profile.venv_bytes)} on disk; "
            f"trained in on {profile.date}"
        )
        if profile.cpu_build is not None:
            lines.append(
                f"      with torch's CPU build, where the index offers it: {size(profile.cpu_build.download_bytes)} "
                f"to download, {size(profile.cpu_build.venv_bytes)} on disk"
            )
        if profile.name in facts:
            lines.append(f"      no, does not fit: {facts[profile.name]}")
        elif profile.name in supports:
            lines.append(f"      yes, fits: support {supports[profile.name]}")
    lines.append("* fits this machine best." if choice.profile else "None fits this machine.")
    if choice.profile:
        lines += [f"  {reason}" for reason in choice.reasons]
    if choice.gpu_unused:
        lines.append("The GPU of this machine stays unused.")
    if choice.nearest is not None:
        lines.append(f"In the way: {choice.nearest.fact}.")
        lines.append(f"Nearest way out: {choice.nearest.text}")
    return "\n".join(lines) + "\n"


def profiles_json(profiles: Sequence[Profile], choice: Choice) -> Dict[str, Any]:
    """The same as plain data, for `--format json`."""
    facts, supports = dict(choice.rejected), dict(choice.supports)
    return {
        "schema_version": 1,
        "profile": choice.profile.name if choice.profile else None,
        "python": choice.python.path if choice.python else None,
        "reasons": list(choice.reasons),
        "gpu_unused": choice.gpu_unused,
        **choice.to_json(),
        "profiles": [
            {
                "name": profile.name,
                "title": profile.title,
                "fits": profile.name not in facts,
                "fact": facts.get(profile.name),
                "support": None if profile.name in facts else supports.get(profile.name),
                "python": profile.python,
                "torch": profile.torch,
                "cuda": profile.cuda or None,
                "driver_minor": profile.driver_minor or None,
                "driver_exact": profile.driver_exact or None,
                "torch_architectures": list(profile.torch_architectures),
                "bitsandbytes_architectures": list(profile.bitsandbytes_architectures),
                "glibc": profile.glibc,
                "machine": profile.machine,
                "download_bytes": profile.download_bytes,
                "venv_bytes": profile.venv_bytes,
                "date": profile.date,
                "probe": profile.probe,
                "lock_sha256": profile.lock_sha256,
            }
            for profile in profiles
        ],
    }
