"""Rules about the target interpreter."""

from typing import Dict, List

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_interpreter, require_torch, shorten, torch_name, version_of
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.tables.couplings import Coupling, couplings
from envdoc.doctor.tables.python_ceilings import ceilings
from envdoc.doctor.tables.torch_builds import torch_release, torch_releases
from envdoc.doctor.tables.versions import numbers, satisfies

# What stops without a standard module. A module that is not named here (tkinter, say) is nobody's business.
NEEDED_BY = {
    "ssl": "no package and no model can be downloaded over https",
    "zlib": "pip cannot unpack a wheel",
    "ctypes": "torch and bitsandbytes cannot load their libraries",
    "lzma": "datasets cannot be imported",
    "bz2": "datasets cannot be imported",
    "sqlite3": "some experiment trackers and notebooks cannot start",
    "ensurepip": "no environment with pip in it can be made from this Python",
    "venv": "no environment can be made from this Python",
}
LEVELS = {"sqlite3": Severity.WARNING, "ensurepip": Severity.INFO, "venv": Severity.INFO}

# The Debian packages whose headers a Python built from source wants, as pyenv's wiki lists them.
HEADERS = "libssl-dev zlib1g-dev libffi-dev liblzma-dev libbz2-dev libsqlite3-dev"


@rule("CFG001")
def interpreter_unasked(machine: Snapshot) -> List[Problem]:
    """The target interpreter could not be started, or did not answer in time."""
    if not machine.interpreter.error:
        return []
    values = {"path": machine.interpreter.path or "The target", "error": machine.interpreter.error}
    return [Problem(values, evidence=(machine.interpreter.error,), affects=("everything in the target",))]


@rule("CFG002")
def python_ceiling(machine: Snapshot) -> List[Problem]:
    """A Python that the newest libraries have left behind."""
    require_interpreter(machine)
    version = machine.interpreter.version
    if not version:
        raise Skip("the interpreter did not tell its version")
    last = ceilings(version)
    if not last:
        return []
    short = ".".join(str(number) for number in numbers(version)[:2])
    values = {
        "python": short,
        "torch": last.get("torch", "an old one"),
        "last": ", ".join(f"{name} {release}" for name, release in last.items()),
        "together": "They work together"
        + "".join(_apart(row, last) for row in couplings() if row.holds(last.get)),
    }
    return [Problem(values)]


def _apart(row: Coupling, last: Dict[str, str]) -> str:
    sides = " and ".join(f"{name} {last[name]}" for name, _ in row.pair)
    return f", but {sides} {row.effect} (what works: {row.works})"


@rule("CFG003")
def standard_modules_missing(machine: Snapshot) -> List[Problem]:
    """A Python that was compiled without a library, so that a standard module is missing."""
    require_interpreter(machine)
    missing = [name for name in machine.interpreter.missing_modules if name in NEEDED_BY]
    if not missing:
        return []
    worst = min((LEVELS.get(name, Severity.ERROR) for name in missing), key=lambda level: level.rank)
    short = ".".join(str(number) for number in numbers(machine.interpreter.version)[:2])
    values = {
        "python": shorten(machine.interpreter.version, 12),
        "modules": ", ".join(missing[:4]) + (f" and {len(missing) - 4} more" if len(missing) > 4 else ""),
        "consequences": "; ".join(f"without {name} {NEEDED_BY[name]}" for name in missing),
    }
    command = f"sudo apt-get install -y {HEADERS}"
    if worst is Severity.INFO:
        command = f"sudo apt-get install -y python{short}-venv"
    return [Problem(values, evidence=tuple(missing), severity=worst, commands=(command,))]


@rule("CFG004")
def old_openssl(machine: Snapshot) -> List[Problem]:
    """urllib3 2 on an OpenSSL before 1.1.1: every download ends with an ImportError."""
    require_interpreter(machine)
    urllib3, openssl = version_of(machine, "urllib3"), machine.interpreter.openssl_version
    words = openssl.split()
    if urllib3 is None or len(words) < 2 or words[0] != "OpenSSL":  # LibreSSL has another numbering
        raise Skip("urllib3 or OpenSSL was not found")
    if not satisfies(urllib3, ">=2") or numbers(words[1]) >= (1, 1, 1):
        return []
    return [Problem({"urllib3": urllib3, "openssl": words[1]}, affects=("downloads",))]


@rule("CFG005")
def no_wheel_for_python(machine: Snapshot) -> List[Problem]:
    """A Python for which no torch was built at all, and none installed."""
    require_interpreter(machine)
    version = machine.interpreter.version
    if not version or machine.interpreter.implementation not in ("", "CPython"):
        raise Skip("the interpreter did not tell its version, or is no CPython")
    if machine.torch is not None or machine.package("torch") is not None:
        return []
    short = ".".join(str(number) for number in numbers(version)[:2])
    known = sorted({python for row in torch_releases() for python in row.pythons}, key=numbers)
    if short in known:
        return []
    newest = torch_releases()[-1]
    values = {"python": short, "first": known[0], "last": known[-1], "torch": newest.versions[-1]}
    return [Problem(values, affects=("torch",))]


@rule("CFG006")
def torch_of_another_python(machine: Snapshot) -> List[Problem]:
    """A torch that has no wheel for this Python: copied here, or reached through PYTHONPATH."""
    require_interpreter(machine)
    torch = require_torch(machine)
    row = torch_release(torch.version, torch.cuda) if torch.cuda else None
    if row is None or not machine.interpreter.version:
        raise Skip("this build of torch is not in the table")
    short = ".".join(str(number) for number in numbers(machine.interpreter.version)[:2])
    if short in row.pythons:
        return []
    values = {"torch": torch_name(torch), "python": short, "first": row.pythons[0], "last": row.pythons[-1]}
    return [Problem(values, evidence=(torch.location,), affects=("torch",))]
