"""Rules about files that are imported instead of the module that was meant."""

from pathlib import PurePosixPath
from typing import List, Set

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.facts.surroundings import Shadow
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import require_packages, shorten, version_of
from envdoc.doctor.rules.packages import WATCHED
from envdoc.doctor.rules.registry import Problem, rule
from envdoc.doctor.rules.requirements import training_packages

# Import names that are not those of their distributions.
_IMPORT_NAMES = {"pillow": "PIL", "protobuf": "google", "python-dateutil": "dateutil", "pyyaml": "yaml"}

# Standard modules that importing torch, transformers, peft, accelerate, datasets and bitsandbytes loads (torch 2.13.0,
# transformers 5.23.0, Python 3.11, sys.modules listed 2026-11-24), without those that no file can hide.
_STANDARD = """
argparse array ast asyncio base64 binascii bisect bz2 cProfile calendar cmath collections colorsys concurrent
configparser contextlib contextvars copy copyreg csv ctypes dataclasses datetime decimal difflib dis email enum fcntl
filecmp fnmatch fractions functools getpass gettext glob grp gzip hashlib heapq hmac html http importlib inspect
ipaddress json keyword linecache locale logging lzma math mimetypes mmap multiprocessing numbers opcode operator pathlib
pickle pickletools pkgutil platform pprint profile pstats pydoc pyexpat queue quopri random re reprlib resource secrets
select selectors shlex shutil signal socket ssl statistics string struct subprocess sysconfig tarfile tempfile termios
textwrap threading timeit token tokenize traceback tty types typing unicodedata unittest urllib uuid warnings weakref
xml zipfile zlib zoneinfo
"""
STANDARD = frozenset(_STANDARD.split())


@rule("CFG040")
def working_folder_shadow(machine: Snapshot) -> List[Problem]:
    """A file in the working folder has the name of a library that a run imports."""
    return [
        _working_folder_problem(machine, shadow)
        for shadow in _judged(machine)
        if shadow.origin == "working folder"
    ]


def _working_folder_problem(machine: Snapshot, shadow: Shadow) -> Problem:
    kind = "standard module" if shadow.is_standard else "library"
    file = PurePosixPath(shadow.path)
    folder = "" if file.suffix else "/"
    new = file.with_name("my_" + file.name)
    return Problem(
        {
            "file": shorten(f"./{file.name}{folder}", 20),
            "module": shorten(shadow.module, 16),
            "kind": kind,
            "path": shadow.path,
            "hides": shadow.hides,
        },
        evidence=(f"{shadow.path} hides {shadow.hides}",),
        affects=(shadow.module,),
        # A folder with a version of its own is a copy that somebody laid there on purpose.
        severity=Severity.WARNING if shadow.version else None,
        commands=(f"mv {shadow.path} {new}",),
    )


@rule("CFG041")
def search_path_shadow(machine: Snapshot) -> List[Problem]:
    """PYTHONPATH or the user site carries a copy of a library or a file with its name, without metadata."""
    located = {(package.name, package.location) for package in machine.packages}
    problems = []
    for shadow in _judged(machine):
        folder = str(PurePosixPath(shadow.path).parent)
        name = shadow.module.replace("_", "-")
        if shadow.origin == "working folder" or (name, folder) in located:
            continue  # two distributions are PKG004's
        installed = (
            "Python's own" if shadow.is_standard else f"the installed {version_of(machine, name) or 'one'}"
        )
        found = f"{shadow.module} {shadow.version}".strip()
        by_variable = shadow.origin == "PYTHONPATH"
        problems.append(
            Problem(
                {
                    "origin": "PYTHONPATH" if by_variable else "The user site",
                    "found": shorten(found, 26),
                    "installed": shorten(installed, 26),
                    "path": shadow.path,
                    "hides": shadow.hides,
                },
                evidence=(f"{shadow.path} hides {shadow.hides}",),
                affects=(shadow.module,),
                commands=("unset PYTHONPATH",) if by_variable else ("export PYTHONNOUSERSITE=1",),
            )
        )
    return problems


def _judged(machine: Snapshot) -> List[Shadow]:
    """The shadows of modules that a training run imports."""
    require_packages(machine)
    if not machine.surroundings.shadows:
        return []
    libraries = import_names(machine)
    return [
        shadow
        for shadow in machine.surroundings.shadows
        if shadow.module in (STANDARD if shadow.is_standard else libraries)
    ]


def import_names(machine: Snapshot) -> Set[str]:
    """What a training run imports, by the names that an import uses."""
    names = {*WATCHED, *training_packages(machine.packages, machine.interpreter)}
    return {_IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}
