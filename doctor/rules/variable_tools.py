"""Rules about variables of pip, Python, proxies and accelerate that turn what is typed into something else."""

import re
from typing import List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import models, require_interpreter, shorten, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers, satisfies

ON = ("1", "on", "yes", "true", "y", "t")
PRECISIONS = ("no", "fp16", "bf16", "fp8")  # accelerate 1.15.0, PrecisionType
_LEAST = {"bf16": "8.0", "fp8": "8.9"}  # as accelerate_config.py has it


@rule("CFG088")
def pip_leads_elsewhere(machine: Snapshot) -> List[Problem]:
    """A variable that makes `pip install` put packages elsewhere, or leave half of them out."""
    require_interpreter(machine)
    problems = []
    for name in ("PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_NO_DEPS", "PIP_NO_BINARY"):
        value = machine.variables.get(name, "")
        if not value:
            continue
        if name == "PIP_USER":
            if value.lower() not in ON or not machine.interpreter.is_virtual_environment:
                continue
            effect, consequence = (
                "stops pip in this environment",
                "pip refuses to install for the user from within one",
            )
        elif name == "PIP_NO_DEPS":
            if value.lower() not in ON:
                continue
            effect, consequence = (
                "leaves out what packages need",
                "packages are installed without their requirements",
            )
        elif name == "PIP_NO_BINARY":
            if value.strip() != ":all:":
                continue
            effect, consequence = (
                "builds all from source",
                "torch and others have no source to build from, or take hours",
            )
        else:
            effect = "leads pip away from here"
            consequence = "packages land in that folder, and this environment does not get them"
        problems.append(
            Problem(
                {"name": name, "value": shorten(value, 20), "effect": effect, "consequence": consequence},
                evidence=(f"{name}={value}",),
                affects=("pip",),
                commands=(f"unset {name}",),
            )
        )
    return problems


@rule("CFG089")
def socks_proxy(machine: Snapshot) -> List[Problem]:
    """A SOCKS proxy, and the HTTP library of huggingface_hub has no SOCKS."""
    require_interpreter(machine)
    hub = version_of(machine, "huggingface-hub")
    if hub is None:
        raise Skip("no huggingface-hub was found")
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    name = next((name for name in names if machine.variables.get(name)), None)
    if name is None or not machine.variables[name].lower().startswith("socks"):
        return []
    needed = "socksio" if satisfies(hub, ">=1.0") else "PySocks"  # httpx from 1.0 on, requests before
    if version_of(machine, needed.lower()) is not None:
        return []
    python = machine.interpreter.path or "python"
    return [
        Problem(
            {"name": name, "hub": hub, "needed": needed},
            evidence=(f"{name} begins with socks",),
            affects=("downloads",),
            commands=(f"{python} -m pip install {needed}",),
        )
    ]


@rule("CFG092")
def accelerate_variables(machine: Snapshot) -> List[Problem]:
    """Variables that `accelerate launch` sets for its children, left over in the shell or wrong for this GPU."""
    accelerate = version_of(machine, "accelerate")
    if accelerate is None:
        raise Skip("accelerate is not installed")
    if "TORCHELASTIC_RUN_ID" in machine.variables:
        raise Skip("this runs within a launch, which set them")
    problems = []
    precision = machine.variables.get("ACCELERATE_MIXED_PRECISION", "")
    if precision and precision.lower() not in PRECISIONS:
        effect = f"is none of {', '.join(PRECISIONS)}"
        problems.append(_left("ACCELERATE_MIXED_PRECISION", precision, effect))
    elif precision.lower() in _LEAST:
        least = _LEAST[precision.lower()]
        below = [m for m in models(machine) if m.capability and numbers(m.capability) < numbers(least)]
        if below:
            effect = f"is not for {shorten(below[0].name, 22)} ({below[0].sm})"
            problems.append(_left("ACCELERATE_MIXED_PRECISION", precision, effect))
    if _is_on(machine, "ACCELERATE_USE_CPU") and machine.gpus:
        problems.append(_left("ACCELERATE_USE_CPU", "true", "trains on the CPU beside a GPU"))
    if _says_true(machine, "ACCELERATE_USE_DEEPSPEED"):
        absent = version_of(machine, "deepspeed") is None
        effect = "wants deepspeed, which is not there" if absent else "makes every run one of deepspeed"
        severity = Severity.ERROR if absent else Severity.WARNING
        problems.append(_left("ACCELERATE_USE_DEEPSPEED", "true", effect, severity))
    if _says_true(machine, "ACCELERATE_USE_FSDP"):
        problems.append(_left("ACCELERATE_USE_FSDP", "true", "makes distributed runs FSDP", Severity.INFO))
    return problems


@rule("CFG094")
def python_optimised(machine: Snapshot) -> List[Problem]:
    """PYTHONOPTIMIZE: assertions are left out, and with 2 the texts that libraries build upon."""
    value = machine.variables.get("PYTHONOPTIMIZE", "").strip()
    if not value or value == "0":
        return []
    two = value.isdecimal() and int(value) >= 2
    effect = "takes the documentation from every function" if two else "takes every assertion away"
    transformers = version_of(machine, "transformers")
    stops = two and transformers is not None and satisfies(transformers, ">=5")
    consequence = (
        f"transformers {transformers} puts its documentation together at import, and its models cannot be imported"
        if stops
        else "libraries that put their documentation together at import may stop"
        if two
        else "checks that libraries write as assertions are not made, and wrong shapes go unnoticed"
    )
    values = {"value": shorten(value, 8), "effect": effect, "consequence": consequence}
    severity = Severity.ERROR if stops else Severity.WARNING if two else Severity.INFO
    return [Problem(values, (f"PYTHONOPTIMIZE={value}",), severity=severity)]


def _is_on(machine: Snapshot, name: str) -> bool:
    return bool(re.fullmatch("|".join(ON), machine.variables.get(name, "").strip().lower()))


def _says_true(machine: Snapshot, name: str) -> bool:
    """accelerate compares these two with the one word, in letters of any size."""
    return machine.variables.get(name, "").lower() == "true"


def _left(name: str, value: str, effect: str, severity: Severity = Severity.WARNING) -> Problem:
    return Problem(
        {"name": name, "value": shorten(value, 8), "effect": effect},
        evidence=(f"{name}={value}",),
        affects=("accelerate",),
        severity=severity,
        commands=(f"unset {name}",),
    )
