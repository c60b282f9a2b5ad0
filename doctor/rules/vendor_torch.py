"""Rules about NVIDIA's own builds of torch: those of its containers, and those for Jetson boards."""

import re
from typing import List, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import models, require_torch, shorten, torch_name
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.versions import numbers, parsed, public, source_build

# NVIDIA's images label what they compiled with the commit, or with their own release: 0.24.0a0+094e7af5,
# 2.7.4.post1+25.10.
_OF_THE_IMAGE = re.compile(r"a0(\+|$)|\+\d\d\.\d\d$|\+[0-9a-f]{7,10}$")
_SERVER_LABEL = re.compile(r"cpu|cu\d{3}")


@rule("TOR014")
def server_build_on_jetson(machine: Snapshot) -> List[Problem]:
    """A torch wheel for servers on a Jetson, whose GPU it cannot use."""
    if not machine.host.kernel.endswith("-tegra"):
        raise Skip("this is no Jetson")
    torch = require_torch(machine)
    known = parsed(torch.version)
    label = (known.local or "") if known is not None else ""
    # From CUDA 13 on, Jetson Thor and servers share their libraries.
    if not _SERVER_LABEL.fullmatch(label) or (torch.cuda and numbers(torch.cuda)[:1] >= (13,)):
        return []
    found = models(machine)
    values = {
        "torch": torch_name(torch),
        "gpu": found[0].name if found else "the board's GPU",
        "build": "without CUDA" if not torch.cuda else f"for servers with CUDA {torch.cuda}",
        "python": machine.interpreter.version or "the target",
    }
    evidence = (f"kernel {machine.host.kernel}", f"torch/version.py: {torch.version}")
    return [Problem(values, evidence, affects=("torch", "bitsandbytes"))]


@rule("TOR015")
def torch_of_the_image_replaced(machine: Snapshot) -> List[Problem]:
    """In NVIDIA's image of PyTorch, pip has put a wheel of the public index in the place of the image's torch."""
    image = machine.variables.get("NVIDIA_PYTORCH_VERSION", "")
    if not image:
        raise Skip("this is not NVIDIA's image of PyTorch")
    if machine.interpreter.is_virtual_environment or machine.interpreter.is_conda:
        raise Skip("the target is an environment of its own, not the image's Python")
    torch = require_torch(machine)
    own = machine.variables.get("PYTORCH_BUILD_VERSION", "")
    is_own = public(own) == public(torch.version) if own else bool(source_build(torch.version))
    if is_own or ".nv" in torch.version:
        return []
    left = [
        package
        for package in machine.packages
        if _OF_THE_IMAGE.search(package.version) and _uses_torch(package.name, package.requires)
    ]
    said = ", ".join(f"{package.name} {package.version}" for package in left[:6])
    values = {
        "torch": torch_name(torch),
        "own": f"torch {shorten(own, 22)}" if own else "the image's own",
        "image": image,
        "left": f"They were compiled for it and are still here: {said}"
        if left
        else "Nothing else of it was found",
    }
    severity = Severity.WARNING if left else Severity.INFO
    return [Problem(values, affects=("torch", *(package.name for package in left)), severity=severity)]


def _uses_torch(name: str, requires: Tuple[str, ...]) -> bool:
    return name in ("apex", "flash-attn", "torchvision", "torchaudio", "transformer-engine") or any(
        re.match(r"torch\b(?![-_])", line) for line in requires
    )
