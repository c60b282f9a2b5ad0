"""The facts that a log prints itself: versions, the driver, GPUs, variables; in the loose form of advisories/told.py.

What is asked for is no fact: "transformers>=4.55 is required" tells nothing of the version that is there, "but found
transformers==5.5.0" does.
"""

import re
from typing import Any, Dict, Iterable, List, Mapping, Optional

from envdoc.doctor.advisories.told import mapping, normal, packages
from envdoc.doctor.why.reading import Line

_NAMES = (
    r"torch|torchvision|torchaudio|torchao|transformers|peft|bitsandbytes|accelerate|datasets|tokenizers|trl|unsloth|unsloth[-_]zoo"
    r"|triton|pytorch[-_]triton|triton[-_]windows|flash[-_]attn|xformers|deepspeed|numpy|protobuf|sentencepiece|huggingface[-_]hub"
    r"|safetensors|vllm|setuptools|llamafactory|swift|axolotl|optimum|auto[-_]gptq|scipy|gradio|diffusers|lightning|nvidia-[a-z0-9-]+"
)
_VERSION = r"v?(\d{1,4}(?:\.\d{1,6}){1,3}(?:\.?(?:a|b|rc|dev|post)\d{0,10})?(?:\+[\w.]{1,40})?)"
_FREEZE = re.compile(r"(?:\[(?:pip3?|conda)\] )?([A-Za-z][\w.-]{0,60})==" + _VERSION + r"\s*$")
_FOUND = re.compile(
    r"(?:found|you have|installed(?: is)?:?|have installed|and) +("
    + _NAMES
    + r")(?:==| version:? | |=)"
    + _VERSION,
    re.IGNORECASE,
)
_LISTED = re.compile(r"(" + _NAMES + r") {2,}" + _VERSION + r"(?:\s|$)")
_NAMED = re.compile(
    r"(?:^|[\s`*#\[(,;|-])`?("
    + _NAMES
    + r"|pytorch)`?(?: +|_)?(?:version|ver\.?)?(?: \(GPU\?\))?(?: is)?\s{0,3}[:=]{1,2} ?['\"]?"
    + _VERSION,
    re.IGNORECASE,
)
_BANNER = re.compile(
    r"\b(transformers|torch|pytorch|triton|unsloth|deepspeed|peft|trl)[: ] ?v?"
    + _VERSION
    + r"(?=[.,\s:;)]|$)",
    re.IGNORECASE,
)
_INSTALLED = re.compile(r"([A-Za-z][\w.]{0,60}(?:-[A-Za-z_][\w.]{0,60}){0,5})-(\d[\w.+]{0,40})(?=\s|$)")
_FOR_VERSION = re.compile(r"\bfor (torchao|torch|triton) version:? ?" + _VERSION)
_INCOMPATIBLE_TORCH = re.compile(r"incompatible torch version " + _VERSION)
_PYTHON = re.compile(
    r"\bpython(3\.\d{1,2})[/\\]|\bcpython-3(\d{1,2})"
    r"|\bPython(?: version)?:? (3\.\d{1,2}(?:\.\d{1,2})?)|[\\/]Python3(\d{1,2})[\\/]"
)
_SMI = re.compile(r"Driver Version: (\d{3}(?:\.\d{1,4}){0,2})(?:.{0,40}CUDA Version: (\d{1,2}\.\d))?")
_DRIVER = re.compile(
    r"(?:nvidia driver(?: version)?|driver version)[:=]? ?(\d{3}\.\d{1,4}(?:\.\d{1,4})?)", re.IGNORECASE
)
_GPU = re.compile(
    r"\b(?:NVIDIA )?((?:GeForce )?(?:RTX|GTX) (?:A|PRO )?\d{3,4}(?: Ti| SUPER| Ada| Blackwell)?|Tesla [A-Z]\d{1,3}"
    r"|[ABHLV]\d{2,3}[a-z]{0,3}"
    r"(?=-(?:SXM|PCIE|PCIe)| 80GB| 40GB)|GH200|GB200|GB10|Quadro [\w ]{2,12})\b"
)
_CAPABILITY = re.compile(
    r"CUDA [Cc]apability (?:sm_)?(\d{1,2})\.?(\d)\b(?! *>)|compute capability:? (\d{1,2}\.\d)\b"
    r"|CUDA: (\d{1,2}\.\d)\. CUDA Toolkit"
)
_GLIBC = re.compile(r"glibc-?(2\.\d{1,2})\b|ldd \([^)]{1,40}\) (2\.\d{1,2})\b")
_ASSIGNED = re.compile(r"(?:^|export |set |\$env:|ENV )\b([A-Z][A-Z0-9_]{2,60}) ?= ?['\"]?([^'\"\s;]{1,200})")
_VARIABLES = re.compile(
    r"CUDA|NCCL|HF_|LD_|PYTHON|TORCH|TRANSFORMERS|DS_|BNB|TRITON|TOKENIZERS|WORLD_SIZE|LOCAL_RANK|OMP"
    r"|MAX_JOBS|XDG|PYTORCH|HSA|ROCR|HIP"
)
_ELSEWHERE = re.compile(
    r"no matching distribution|could not find a version|is required|requires? |required|pip install|>=|<=|==.{0,60},"
    r"|upgrade to|please|at least|needs",
    re.IGNORECASE,
)
_WINDOWS = re.compile(
    r"\b[A-Za-z]:\\(?:Users|Conda|Program|ProgramData|Windows|[\w.-]{1,40}\\)|\bPS [A-Z]:\\|\bwin32\b|win_amd64|\.dll\b"
)
_LIKELY = re.compile(
    r"[Vv]er|=|python|Python|glibc|Driver|CUDA|apability|RTX|GTX|Tesla|\\| {2,}|-(?:SXM|PCI)|found|have"
    r"|[a-z] \d|[a-z]: \d|-\d"
)


def log_facts(lines: Iterable[Line]) -> Dict[str, Any]:
    """What the lines tell; the last word on each thing counts, as the run that failed is the last."""
    facts: Dict[str, Any] = {"packages": {}, "env": {}}
    for line in lines:
        if _LIKELY.search(line.text):
            _of_line(line.text, facts)
    torch = facts["packages"].pop("torch", None)
    if torch:
        facts["torch"] = torch
    return {key: value for key, value in facts.items() if value}


def together(given: Mapping[str, Any], log: Mapping[str, Any]) -> Dict[str, Any]:
    """Given facts, completed from the log's; given ones win, except where the log has the exact version of a range."""
    merged: Dict[str, Any] = {
        **log,
        **{key: value for key, value in given.items() if value not in (None, "", {}, [])},
    }
    if isinstance(given.get("packages"), list):  # a snapshot knows every package
        return merged
    known = dict(packages(log))
    known.update(packages(given))
    merged["packages"] = known
    merged["env"] = {**mapping(log, "env"), **mapping(given, "env")}
    return merged


def _of_line(text: str, facts: Dict[str, Any]) -> None:
    found: Dict[str, str] = facts["packages"]
    freeze = _FREEZE.match(text.strip())
    if freeze:
        found[normal(freeze.group(1))] = freeze.group(2)
    elif text.startswith("Successfully installed "):
        for name, version in _INSTALLED.findall(text[23:]):
            found[normal(name)] = version
    else:
        _packages(text, found)
    _machine(text, facts)


def _packages(text: str, found: Dict[str, str]) -> None:
    for match in _FOUND.finditer(text):
        found[_name(match.group(1))] = match.group(2)
    for pattern in (_FOR_VERSION,):
        for match in pattern.finditer(text):
            found[_name(match.group(1))] = match.group(2)
    torch = _INCOMPATIBLE_TORCH.search(text)
    if torch:
        found["torch"] = torch.group(1)
    if _ELSEWHERE.search(text):
        return
    listed = _LISTED.match(text)
    if listed:
        found[_name(listed.group(1))] = listed.group(2)
        return
    for pattern in (_BANNER, _NAMED):
        for match in pattern.finditer(text):
            found[_name(match.group(1))] = match.group(2)


def _name(name: str) -> str:
    plain = normal(name)
    return "torch" if plain == "pytorch" else plain


def _machine(text: str, facts: Dict[str, Any]) -> None:
    python = _PYTHON.search(text)
    if python:
        minor = python.group(2) or python.group(4)
        version = python.group(1) or python.group(3) or f"3.{minor}"
        if not str(facts.get("python", "")).startswith(version):
            facts["python"] = version
    smi = _SMI.search(text) or _DRIVER.search(text)
    if smi:
        facts["driver"] = smi.group(1)
        if smi.re is _SMI and smi.group(2):
            facts["driver_cuda"] = smi.group(2)
    capability = _CAPABILITY.search(text)
    if capability:
        major, minor = capability.group(1), capability.group(2)
        facts["compute_capability"] = (
            f"{major}.{minor}" if major else capability.group(3) or capability.group(4)
        )
    gpu = _GPU.search(text)
    if gpu and "supports" not in text:
        facts["gpu"] = gpu.group(1)
    glibc = _GLIBC.search(text)
    if glibc:
        facts["glibc"] = glibc.group(1) or glibc.group(2)
    if _WINDOWS.search(text):
        facts["platform"] = "Windows"
    for name, value in _ASSIGNED.findall(text):
        if _VARIABLES.match(name):
            facts["env"][name] = value


def site_packages(lines: Iterable[Line]) -> List[str]:
    """The site-packages folders that the log's paths name, the most frequent first."""
    counts: Dict[str, int] = {}
    for line in lines:
        for match in _SITE.finditer(line.text):
            counts[match.group(1)] = counts.get(match.group(1), 0) + 1
    return sorted(counts, key=lambda folder: -counts[folder])


_SITE = re.compile(r"((?:/|[A-Za-z]:\\|~/)[^\s\"'<>|:]{0,200}[/\\](?:site|dist)-packages)[/\\]")


def same_machine(log: Mapping[str, Any], here: Mapping[str, Any]) -> Optional[bool]:
    """Whether what a log tells could be this machine: False where one version differs, None where nothing is told."""
    told, there = {**packages(log)}, packages(here)
    if isinstance(log.get("torch"), str):
        told["torch"] = log["torch"]
    shared = [name for name in told if name in there]
    if not shared:
        return None
    return all(str(told[name]).split("+")[0] == str(there[name]).split("+")[0] for name in shared)
