"""What facts tell, whether they are a snapshot's JSON or the loose form in which people state them in a thread.

The loose form: {"python", "torch", "packages", "package_ranges", "platform", "gpu", "compute_capability", "driver",
"driver_cuda", "glibc", "os", "env", "code"}, every key optional and anything at all in it: the file is anybody's.
"""

import re
from typing import Any, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.tables.cuda_drivers import newest_cuda
from envdoc.doctor.tables.gpu_names import capability_by_name
from envdoc.doctor.tables.torch_builds import torch_release
from envdoc.doctor.tables.versions import numbers

_VERSION = re.compile(r"\d+(\.\d+)*")
_ENDLESS = "9999"
# What glibc a distribution has, by the beginning of its name and version: the distributions' own package lists.
_GLIBC = (
    ("ubuntu 16.04", "2.23"),
    ("ubuntu 18.04", "2.27"),
    ("ubuntu 20.04", "2.31"),
    ("ubuntu 22.04", "2.35"),
    ("ubuntu 24.04", "2.39"),
    ("debian 10", "2.28"),
    ("debian 11", "2.31"),
    ("debian 12", "2.36"),
    ("debian 13", "2.41"),
    ("centos 7", "2.17"),
    ("centos linux 7", "2.17"),
    ("amazon linux 2 ", "2.26"),
    ("amazon linux 2023", "2.34"),
)
_RHEL = re.compile(
    r"(?:red hat|rhel|rocky|alma ?linux|centos(?: stream)?)[\w ()]{0,24}? ([89])\b", re.IGNORECASE
)
_RHEL_GLIBC = {"8": "2.28", "9": "2.34"}
# People's short names; the full ones are in gpu_names.toml.
_SHORT_NAMES = (
    (r"\bgb10\b|dgx spark", "12.1"),
    (r"rtx 50(?:\d0)?\b|50[5-9]0\b|50-series|blackwell", "12.0"),
    (r"\bl40s?\b|\bl4\b|rtx 40|\b40[5-9]0\b|\bada\b", "8.9"),
    (r"rtx 30|\b30[5-9]0\b|a[4-6]000\b", "8.6"),
    (r"\bampere\b", "8.0"),
    (r"\bhopper\b", "9.0"),
    (r"rtx 20|\b20[6-8]0\b|\bt4\b|\bturing\b", "7.5"),
    (r"\bv100\b|\bvolta\b", "7.0"),
    (r"\bp100\b", "6.0"),
    (r"\bp40\b|gtx 10|\b10[5-8]0\b|\bpascal\b", "6.1"),
    (r"\bm40\b|\bm60\b|\bmaxwell\b", "5.2"),
    (r"\bk80\b|\bkepler\b", "3.7"),
)


def versions(name: str, facts: Mapping[str, Any]) -> Tuple[str, ...]:
    """The version that is told; both ends where only a range is; nothing where nothing is."""
    exact = version(name, facts)
    if exact is not None and _VERSION.match(exact):
        return (exact,)
    return _ends(str(mapping(facts, "package_ranges").get(name, "")))


def version(name: str, facts: Mapping[str, Any]) -> Optional[str]:
    """The one version of a package (its normalised name), of "python" or of "torch"."""
    if name == "python":
        told = facts.get("python") or mapping(facts, "interpreter").get("version")
    elif name == "torch" and facts.get("torch"):
        told = facts["torch"]
        told = told.get("version") if isinstance(told, Mapping) else told
    else:
        told = packages(facts).get(name)
    return str(told) if told else None


def packages(facts: Mapping[str, Any]) -> Dict[str, Any]:
    """Normalised name -> version, from a mapping or from a snapshot's list."""
    told = facts.get("packages")
    rows: List[Tuple[Any, Any]] = []
    if isinstance(told, Mapping):
        rows = list(told.items())
    elif isinstance(told, list):
        rows = [(row.get("name"), row.get("version")) for row in told if isinstance(row, Mapping)]
    return {normal(str(name)): version for name, version in rows}


def normal(name: str) -> str:
    """Lower case, hyphens for underscores."""
    return name.lower().replace("_", "-")


def mapping(facts: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """That part, or an empty one where it is none."""
    value = facts.get(key)
    return value if isinstance(value, Mapping) else {}


def torch_cuda(facts: Mapping[str, Any]) -> Optional[str]:
    """The CUDA of torch: "11.7"; "" for a CPU build; None where it is not told."""
    files = mapping(facts, "torch")
    if files.get("version"):
        return str(files.get("cuda") or "")
    said = str(facts.get("torch_cuda") or "")
    if said:
        return said
    exact = version("torch", facts) or ""
    words = f"{exact} {mapping(facts, 'package_ranges').get('torch', '')}"
    local = re.search(r"(?:\+|\b)cu(\d\d)(\d)\b|[+\b]cpu\b|\bcuda[ -]?(\d+\.\d+)", words, re.IGNORECASE)
    if local:
        return local.group(3) or (f"{local.group(1)}.{local.group(2)}" if local.group(1) else "")
    release = torch_release(exact) if exact else None
    return release.cuda if release is not None else None


def driver(facts: Mapping[str, Any]) -> str:
    """The driver's version, "570.86.15" or "570"; empty where it is not told."""
    told = facts.get("driver")
    text = str(told.get("version") or "") if isinstance(told, Mapping) else str(told or "")
    return text if _VERSION.match(text) else ""


def driver_cuda(facts: Mapping[str, Any]) -> str:
    """The newest CUDA that the driver serves: as told, or by its version; empty where neither is."""
    told = str(facts.get("driver_cuda") or mapping(facts, "driver").get("cuda") or "")
    return told if _VERSION.match(told) else (newest_cuda(driver(facts)) or "" if driver(facts) else "")


def capabilities(facts: Mapping[str, Any]) -> Tuple[str, ...]:
    """The compute capability of every GPU that is told, by number or by name."""
    told = facts.get("compute_capability")
    found = [str(one) for one in (told if isinstance(told, list) else [told]) if one]
    gpus = facts.get("gpus")
    for gpu in gpus if isinstance(gpus, list) else []:
        if isinstance(gpu, Mapping):
            found += [str(gpu.get("capability") or _by_name(str(gpu.get("name") or "")) or "")]
    if not found and facts.get("gpu"):
        found.append(_by_name(str(facts["gpu"])) or "")
    return tuple(one for one in found if _VERSION.match(one))


def _by_name(name: str) -> Optional[str]:
    short = (capability for pattern, capability in _SHORT_NAMES if re.search(pattern, name, re.IGNORECASE))
    return capability_by_name(name) or next(short, None)


def glibc(facts: Mapping[str, Any]) -> str:
    """The system's glibc: as told, or by the distribution's name; empty where neither is."""
    told = str(facts.get("glibc") or mapping(facts, "host").get("glibc") or "")
    if told:
        return told
    words = _system(facts)
    said = re.search(r"glibc[ -]?(\d+\.\d+)", words)
    if said:
        return said.group(1)
    found = next((value for name, value in _GLIBC if name in words), "")
    family = _RHEL.search(words)
    return found or (_RHEL_GLIBC[family.group(1)] if family else "")


def system(facts: Mapping[str, Any]) -> Tuple[str, ...]:
    """The names of the system that hold: ("linux", "wsl"); empty where it is not told."""
    words = _system(facts)
    if mapping(facts, "host").get("is_wsl") is True or re.search(r"\bwsl", words):
        return ("linux", "wsl")
    if re.search(r"\bwindows|\bwin(?:32|10|11)\b", words):
        return ("windows",)
    if re.search(r"\bmac ?os|\bdarwin|\bos ?x\b", words):
        return ("macos",)
    linux = (
        r"linux|ubuntu|debian|centos|rhel|red hat|rocky|alma|fedora|docker|colab|kaggle|container|glibc|slurm"
    )
    return ("linux",) if re.search(linux, words) else ()


def _system(facts: Mapping[str, Any]) -> str:
    host, interpreter = mapping(facts, "host"), mapping(facts, "interpreter")
    parts = (facts.get("os"), facts.get("platform"), host.get("distribution"), interpreter.get("system"))
    return " ".join(str(part) for part in parts if part).lower()


def variables(facts: Mapping[str, Any]) -> Tuple[Mapping[str, Any], bool]:
    """The environment variables that are told, and whether those are all (a snapshot's)."""
    return (mapping(facts, "variables"), True) if "variables" in facts else (mapping(facts, "env"), False)


def _ends(text: str) -> Tuple[str, ...]:
    """(">=4.34") -> ("4.34", "9999"); ("<2.6") -> ("0", "2.5.9999"); ("5.x") -> ("5", "5.9999"); else nothing."""
    low, high = re.search(r">=?\s{0,9}(\d[\d.]*)", text), re.search(r"<(=?)\s{0,9}(\d[\d.]*)", text)
    if low or high:
        top = (high.group(2) if high.group(1) else _below(high.group(2))) if high else _ENDLESS
        return (low.group(1) if low else "0", top)
    series = re.match(r"(\d[\d.]*)\.x", text)
    return (series.group(1), f"{series.group(1)}.{_ENDLESS}") if series else ()


def _below(bound: str) -> str:
    parts = list(numbers(bound))
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    parts[-1] -= 1
    return ".".join(map(str, [*parts, _ENDLESS])) if parts[-1] >= 0 else "0"
