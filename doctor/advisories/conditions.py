"""Whether a condition of an advisory holds for the facts, as far as they tell: True, False or None for not told.

A condition is a requirement ("numpy>=2", "python<3.9") or one of WORDS. Facts are a snapshot's JSON, or the loose form
in which a thread states them: {"python", "torch", "packages", "package_ranges", "driver_cuda", "compute_capability"},
every key optional.
"""

import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Tuple

from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.torch_builds import torch_release
from envdoc.doctor.tables.versions import numbers, satisfies

_REQUIREMENT = re.compile(r"([A-Za-z][\w.-]*?)\s*([<>=!~].*)$")
_VERSION = re.compile(r"\d+(\.\d+)*")
_ENDLESS = "9999"


def holds(conditions: Iterable[str], any_of: Iterable[str], facts: Mapping[str, Any]) -> Optional[bool]:
    """Whether every one of `conditions` holds, and one of `any_of` where there are any."""
    answers = [_holds(condition, facts) for condition in conditions]
    choices = [_holds(condition, facts) for condition in any_of]
    if choices:
        answers.append(True if True in choices else (None if None in choices else False))
    if False in answers:
        return False
    return None if None in answers or not answers else True


def _holds(condition: str, facts: Mapping[str, Any]) -> Optional[bool]:
    if condition in WORDS:
        return WORDS[condition](facts)
    match = _REQUIREMENT.match(condition)
    if match is None:
        raise ValueError(f"`{condition}` is neither a requirement nor one of {', '.join(sorted(WORDS))}.")
    name, specifier = match.groups()
    answers = {satisfies(version, specifier) for version in _versions(_normal(name), facts)}
    return answers.pop() if len(answers) == 1 else None


def _versions(name: str, facts: Mapping[str, Any]) -> Tuple[str, ...]:
    """The version that is told; both ends where only a range is; nothing where nothing is."""
    exact = _exact(name, facts)
    if exact is not None and _VERSION.match(exact):
        return (exact,)
    return _ends(str(_mapping(facts, "package_ranges").get(name, "")))


def _exact(name: str, facts: Mapping[str, Any]) -> Optional[str]:
    if name == "python":
        told = facts.get("python") or _mapping(facts, "interpreter").get("version")
    elif name == "torch" and facts.get("torch"):
        told = facts["torch"]
        told = told.get("version") if isinstance(told, Mapping) else told
    else:
        told = _packages(facts).get(name)
    return str(told) if told else None


def _packages(facts: Mapping[str, Any]) -> Dict[str, Any]:
    """Name -> version, from a mapping or from a snapshot's list."""
    packages = facts.get("packages")
    rows: List[Tuple[Any, Any]] = []
    if isinstance(packages, Mapping):
        rows = list(packages.items())
    elif isinstance(packages, list):
        rows = [(row.get("name"), row.get("version")) for row in packages if isinstance(row, Mapping)]
    return {_normal(str(name)): version for name, version in rows}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-")


def _ends(text: str) -> Tuple[str, ...]:
    """(">=4.34") -> ("4.34", "9999"); ("<2.6") -> ("0", "2.5.9999"); ("5.x") -> ("5", "5.9999"); else nothing."""
    low, high = re.search(r">=?\s*(\d[\d.]*)", text), re.search(r"<=?\s*(\d[\d.]*)", text)
    if low or high:
        return (low.group(1) if low else "0", _below(high.group(1)) if high else _ENDLESS)
    series = re.match(r"(\d[\d.]*)\.x", text)
    return (series.group(1), f"{series.group(1)}.{_ENDLESS}") if series else ()


def _below(version: str) -> str:
    parts = list(numbers(version))
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    parts[-1] -= 1
    return ".".join(map(str, [*parts, _ENDLESS])) if parts[-1] >= 0 else "0"


def _mapping(facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = facts.get(key)
    return value if isinstance(value, Mapping) else {}


def _torch_cuda(facts: Mapping[str, Any]) -> Optional[str]:
    """The CUDA of torch: "11.7"; "" for a CPU build; None where it is not told."""
    files = _mapping(facts, "torch")
    if files.get("version"):
        return str(files.get("cuda") or "")
    version = _exact("torch", facts) or ""
    local = re.search(r"\+(?:cu(\d+)(\d)|(cpu))", version)
    if local:
        return "" if local.group(3) else f"{local.group(1)}.{local.group(2)}"
    release = torch_release(version) if version else None
    return release.cuda if release is not None else None


def _cpu_build(facts: Mapping[str, Any]) -> Optional[bool]:
    cuda = _torch_cuda(facts)
    return None if cuda is None else cuda == ""


def _driver_too_old(facts: Mapping[str, Any]) -> Optional[bool]:
    """By major: within one, minor-version compatibility lets an older driver serve a newer CUDA."""
    driver = facts.get("driver_cuda") or _mapping(facts, "driver").get("cuda")
    cuda = _torch_cuda(facts)
    if not driver or not cuda:
        return None
    return numbers(str(driver))[:1] < numbers(cuda)[:1]


def _no_kernels(facts: Mapping[str, Any]) -> Optional[bool]:
    gpus = facts.get("gpus")
    listed = (
        [gpu.get("capability") for gpu in gpus if isinstance(gpu, Mapping)] if isinstance(gpus, list) else []
    )
    capabilities = [str(told) for told in [facts.get("compute_capability"), *listed] if told]
    release = torch_release(_exact("torch", facts) or "", _torch_cuda(facts))
    names = _mapping(facts, "torch").get("architectures") or (release.architectures if release else ())
    if not capabilities or not names:
        return None
    return any(not serving(names, capability) for capability in capabilities)


WORDS: Dict[str, Callable[[Mapping[str, Any]], Optional[bool]]] = {
    "torch-is-cpu-build": _cpu_build,
    "driver-older-than-torch": _driver_too_old,
    "torch-lacks-gpu": _no_kernels,
}
