"""Which sightings are faults with the versions that are installed, and the words that say so.

Bounds: run, unless said otherwise, on real packages (research/seed-bugs.md sections 2 to 4) or read in their wheels.
"""

from typing import Callable, Dict, Mapping, NamedTuple, Optional

from envdoc.doctor.tables.script_api import argument_spans, moved, name_span, replacement
from envdoc.doctor.tables.versions import satisfies

Versions = Mapping[str, str]  # normalised distribution name -> installed version


class Fault(NamedTuple):
    """What fills the words of a rule's message, and how much it matters where that differs from the message's own."""

    values: Dict[str, str]
    severity: str = ""


def judge(check: str, subject: str, versions: Versions) -> Optional[Fault]:
    """The fault, or None where these versions bear it or nothing tells the version."""
    return _JUDGES[check](subject, versions)


def _removed(subject: str, versions: Versions) -> Optional[Fault]:
    package = _distribution(subject)
    version, span = versions.get(package), name_span(subject)
    if version is None or span is None or not span.missing(version):
        return None
    usable = usable_replacement(subject, versions)
    is_old = bool(span.until) and satisfies(version, f"<={span.until}")
    state = f"not yet in {package} {version}" if is_old else f"gone from {package} {version}"
    advice = f"Use {usable} instead. " if usable else ""
    if is_old:
        advice = f"It came after {package} {span.until}. "
    return Fault({"name": subject, "state": state, "package": package, "version": version, "advice": advice})


def usable_replacement(subject: str, versions: Versions) -> str:
    """What took the place of a name, where the installed version has it; else empty."""
    new = replacement(subject)
    return new if _is_there(new, versions) else ""


def _is_there(dotted: str, versions: Versions) -> bool:
    """Whether the installed version has the name that takes the place of another."""
    if not dotted:
        return False
    version, span = versions.get(_distribution(dotted)), name_span(dotted)
    return version is not None and (span is None or not span.missing(version))


def _distribution(dotted: str) -> str:
    return dotted.split(".")[0].replace("_", "-")


def _argument(subject: str, versions: Versions) -> Optional[Fault]:
    function, _, argument = subject.rstrip(")").partition("(")
    spans = argument_spans(function, argument)
    package = _distribution(function)
    version = versions.get(package)
    if version is None or not spans:
        return None
    for owner, span in spans:
        found = versions.get(_distribution(owner))
        if found is None or not span.missing(found):
            return None
    new = renamed(subject, versions)
    name = function.rpartition(".")[2]
    blamed_owner, blamed = spans[-1]
    blamed_package = _distribution(blamed_owner)
    is_old = bool(blamed.until) and satisfies(versions[blamed_package], f"<={blamed.until}")
    state = "does not take yet" if is_old else "takes no more"
    advice = f"It is called {new} there. " if new else ""
    place = moved(subject)
    if place and not new and not is_old:
        advice = f"It is {place} there. "
    return Fault(
        {
            "function": name, "argument": argument, "package": blamed_package, "version": versions[blamed_package],
            "state": state, "advice": advice,
        }
    )  # fmt: skip


def renamed(subject: str, versions: Versions) -> str:
    """The argument's new name where the installed version takes it; else empty."""
    function, _, _ = subject.rstrip(")").partition("(")
    new = replacement(subject)
    if not new:
        return ""
    spans = argument_spans(function, new)
    for owner, span in spans:
        version = versions.get(_distribution(owner))
        if version is not None and not span.missing(version):
            return new
    return "" if spans else new


def _loading(subject: str, versions: Versions) -> Optional[Fault]:
    version = versions.get("transformers")
    if version is None:
        return None
    if (
        subject == "dtype"
    ):  # renamed in 4.56; an older one hands it to the model's __init__ (CODE 4.55.4, 4.56.2)
        if not satisfies(version, "<4.56"):
            return None
        return Fault({"argument": subject, "version": version, "advice": "It is called torch_dtype there. "})
    if not satisfies(version, ">=5"):  # RUN 5.23.0 refuses, 4.57.1 accepts; transformers PR 41287
        return None
    advice = "It is called token there. "
    if subject.startswith("load_in"):
        advice = f"Give quantization_config=BitsAndBytesConfig({subject}=True) instead. "
    return Fault({"argument": subject, "version": version, "advice": advice})


def _renamed(subject: str, versions: Versions) -> Optional[Fault]:
    version = versions.get("transformers")
    if version is None or not satisfies(version, ">=4.56"):
        return None
    return Fault({"argument": subject, "new": "dtype", "version": version})


def _within(package: str, specifier: str) -> Callable[[str, Versions], Optional[Fault]]:
    """A fault of the script where the package is of these versions."""

    def judge_it(subject: str, versions: Versions) -> Optional[Fault]:
        version = versions.get(package)
        if version is None or not satisfies(version, specifier):
            return None
        return Fault({"subject": subject, "version": version})

    return judge_it


def _always(subject: str, versions: Versions) -> Optional[Fault]:
    first, _, second = subject.partition("|")
    return Fault({"subject": first, "words": second})


def _too_late(subject: str, versions: Versions) -> Optional[Fault]:
    name, _, reader = subject.partition("|")
    words = f"The import of {reader} above it has read that variable already, and does not look again."
    if not reader:
        words = "CUDA was started above it, and does not look again."
    return Fault({"subject": name, "words": words})


def _checkpointing(subject: str, versions: Versions) -> Optional[Fault]:
    peft, transformers = versions.get("peft"), versions.get("transformers")
    if peft is None or transformers is None:
        return None
    # transformers 5 checkpoints without reentry by default (CODE 4.57.6: with it, 5.0.0: without); RUN 4.57.1 fails,
    # 5.23.0 passes. Where a script asks for reentry under 5 it was not run, and nothing is claimed.
    if satisfies(transformers, ">=5"):
        return None
    return Fault({"subject": subject.split(" ")[0], "version": transformers, "peft": peft})


def _half(subject: str, versions: Versions) -> Optional[Fault]:
    return Fault({"subject": subject}) if versions.get("torch") else None


def _load_object(subject: str, versions: Versions) -> Optional[Fault]:
    version = versions.get("torch")
    if version is None or not satisfies(version, ">=2.6"):
        return None
    return Fault({"subject": subject, "version": version})


def _load_unguarded(subject: str, versions: Versions) -> Optional[Fault]:
    version = versions.get("torch")
    if version is None or not satisfies(version, ">=1.13,<2.6"):
        return None
    return Fault({"subject": subject, "version": version})


def _targets(subject: str, versions: Versions) -> Optional[Fault]:
    model, found, layers = subject.split("|")
    return Fault({"model": model, "found": found, "layers": layers})


def _missing(subject: str, versions: Versions) -> Optional[Fault]:
    asked, _, distribution = subject.partition("|")
    if (
        not versions
        or distribution in versions
        or any(same in versions for same in _SAME.get(distribution, ()))
    ):
        return None
    return Fault({"asked": asked, "distribution": distribution})


# Other distributions that bring the same import name, or serve the same request.
_SAME = {
    "tensorflow": ("tensorflow-cpu",),
    "flash-attn": ("flash-attn-2", "kernels"),
    "mlflow": ("mlflow-skinny",),
    "triton": ("triton-windows", "pytorch-triton"),
    "tensorboard": ("tb-nightly",),
    "deepspeed": ("deepspeed-mii",),
    "torch": ("torch-nightly",),
    "opencv-python": ("opencv-python-headless",),
}

_JUDGES: Dict[str, Callable[[str, Versions], Optional[Fault]]] = {
    "removed-import": _removed,
    "unknown-argument": _argument,
    "loading-argument": _loading,
    "renamed-argument": _renamed,
    "compute-loss-signature": _within(
        "transformers", ">=4.46"
    ),  # RUN 4.46.3 bad, 4.44.2 good; transformers#36331
    "state-dict-override": _within(
        "peft", ">=0.3.0,<0.20.0"
    ),  # RUN 0.2.0 good, 0.3.0 to 0.19.1 bad, 0.20.0 good
    "save-model-override": _within("peft", ">=0.3.0,<0.21.0"),  # RUN 0.20.0 bad, 0.21.0 good
    "checkpointing-after-wrap": _checkpointing,
    "pad-is-eos": _within("transformers", ">=4.28"),
    "half-with-fp16": _half,
    "device-map-under-ddp": _always,
    "adapter-not-trainable": _within("peft", ">=0.3.0"),  # RUN 0.2.0 trains, 0.3.0 does not
    "merge-quantized": _within("peft", ">=0.2.0"),
    "variable-too-late": _too_late,
    "torch-load-object": _load_object,
    "torch-load-unguarded": _load_unguarded,
    "remote-code-unpinned": _always,
    "target-modules": _targets,
    "single-target": _within("peft", "<0.3.0"),  # RUN 0.2.0 bad, 0.3.0 good; peft#324
    "cuda-before-fork": _always,
    "contradicting-arguments": _always,
    "labels-missing": _always,
    "labels-not-masked": _always,
    "missing-package": _missing,
    "chat-template-return": _within(
        "transformers", ">=5"
    ),  # CODE: return_dict is False in 4.57.6, True in 5.0.0
    "resume-override": _always,
}
CHECKS = tuple(_JUDGES)
