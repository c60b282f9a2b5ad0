"""Rules about what the shell's variables bring into the environment from outside."""

from pathlib import PurePosixPath
from typing import Dict, Iterator, List, Optional, Tuple

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.facts.surroundings import StrayLibrary
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.loading import displacing, what_is_taken
from envdoc.doctor.rules.machine import (
    models,
    require_interpreter,
    require_packages,
    require_torch,
    shorten,
    torch_name,
    version_of,
)
from envdoc.doctor.rules.registry import Problem, Skip, rule
from envdoc.doctor.rules.variables import CUDA_FOLDER

_PIP_NAMES = {"pytorch": "torch"}  # conda's name -> pip's
_FATES = {
    "gone": "is not there, and the loader complains at every start",
    "machine": "is for another kind of machine, and the loader complains at every start",
    "damaged": "is damaged, and the loader complains at every start",
}
_OF_CUDA = ("libcudart", "libcublas", "libcublasLt", "libnvrtc", "libnvJitLink")  # named after CUDA's release


@rule("CFG042")
def conda_beside(machine: Snapshot) -> List[Problem]:
    """CONDA_PREFIX names another environment than the target, with its own copies of what a run imports."""
    require_packages(machine)
    conda, target = machine.surroundings.conda, machine.interpreter
    if conda is None:
        return []
    prefix = conda.prefix.rstrip("/")
    if any(
        place == prefix or place.startswith(prefix + "/") for place in (target.prefix, target.base_prefix)
    ):
        return []  # the target itself, or a virtual environment made from it
    pairs = [
        (name, version, version_of(machine, _PIP_NAMES.get(name, name))) for name, version in conda.packages
    ]
    other = [(name, version, here) for name, version, here in pairs if here is not None and here != version]
    if not other:
        return []
    name, version, here = other[0]
    # conda's installer activates `base` in every shell, and a virtual environment over it works.
    is_base = machine.variables.get("CONDA_DEFAULT_ENV") == "base"
    return [
        Problem(
            {
                "name": shorten(name, 14),
                "conda": shorten(version, 12),
                "here": shorten(here or "", 12),
                "prefix": prefix,
            },
            evidence=tuple(
                f"{name}: {version} in conda, {here} in the target" for name, version, here in other
            ),
            affects=tuple(name for name, _, _ in other),
            severity=Severity.INFO if is_base else None,
        )
    ]


@rule("CFG043")
def pip_of_another_python(machine: Snapshot) -> List[Problem]:
    """The target is the active Python, and `pip` installs for another one."""
    require_interpreter(machine)
    around, target = machine.surroundings, PurePosixPath(machine.interpreter.path)
    if not around.pip_python or not machine.interpreter.prefix:
        raise Skip("no pip on PATH tells which Python it belongs to")
    active = (
        PurePosixPath(around.path_python).parent == target.parent
        or machine.variables.get("VIRTUAL_ENV", "").rstrip("/") == machine.interpreter.prefix
    )
    if machine.shell.pip_is_targets:  # by another path to the same folder
        return []
    if not active or _belongs(around.pip_python, machine) or _belongs(around.pip, machine):
        return []
    return [
        Problem(
            {"pip": around.pip, "other": around.pip_python, "target": str(target)},
            evidence=(f"{around.pip} runs {around.pip_python}",),
            affects=("pip",),
            severity=None if machine.interpreter.has_pip else Severity.INFO,
            commands=(f"{target} -m pip --version",),
        )
    ]


def _belongs(path: str, machine: Snapshot) -> bool:
    """True for a file in the folder of the target's programs; /bin is /usr/bin on merged systems."""
    folder = str(PurePosixPath(path).parent)
    own = {str(PurePosixPath(machine.interpreter.path).parent), machine.interpreter.prefix + "/bin"}
    own |= {"/bin", "/usr/bin"} if own & {"/bin", "/usr/bin"} else set()
    return folder in own


@rule("CFG044")
def libraries_on_path(machine: Snapshot) -> List[Problem]:
    """CUDA, cuDNN or NCCL libraries in a folder of LD_LIBRARY_PATH; CFG021 names the folders of toolkits.

    Where the loader's choice is known, a folder from which it takes another release is CFG060's.
    """
    torch = require_torch(machine)
    displaced = {str(PurePosixPath(one.taken).parent) for one in displacing(machine)}
    by_folder: Dict[str, List[StrayLibrary]] = {}
    for library in machine.surroundings.stray_libraries:
        folder = str(PurePosixPath(library.path).parent)
        is_named = torch.cuda and CUDA_FOLDER.search(folder)
        if library.variable == "LD_LIBRARY_PATH" and not is_named and not _is_driver_stub(library):
            by_folder.setdefault(folder, []).append(library)
    problems = []
    for folder, found in by_folder.items():
        if folder in displaced:
            continue
        known = machine.loading.modelled
        taken = [library for library in found if not known and _may_be_taken(machine, library)]
        first = PurePosixPath((taken or found)[0].path).name
        consequence = (
            f"{torch_name(torch)} loads libraries of the same name, and may be given these instead of its own"
            if taken
            else what_is_taken(machine, folder)
            or f"{torch_name(torch)} asks for none of these names, but whatever else does gets them first"
        )
        problems.append(
            Problem(
                {"first": shorten(first, 32), "folder": folder, "consequence": consequence},
                evidence=tuple(library.path for library in (taken or found)[:8]),
                affects=("torch",),
                severity=None if taken else Severity.INFO,
            )
        )
    return problems


@rule("CFG045")
def preloaded(machine: Snapshot) -> List[Problem]:
    """LD_PRELOAD forces a CUDA library into every process, or names a file that is not there."""
    torch = require_torch(machine)
    displaced = {one.taken for one in displacing(machine)}
    known = machine.loading.modelled
    problems = []
    for path, fate in _preloads(machine, torch_name(torch)):
        if path in displaced:
            continue  # CFG060's
        stray = StrayLibrary(path, "LD_PRELOAD")
        taken = not known and fate.startswith("is loaded") and _may_be_taken(machine, stray)
        problems.append(
            Problem(
                {"name": shorten(PurePosixPath(path).name, 28), "path": path, "fate": fate},
                evidence=(f"LD_PRELOAD names {path}",),
                affects=("torch",),
                severity=None if taken else Severity.INFO,
            )
        )
    return problems


def _preloads(machine: Snapshot, torch: str) -> Iterator[Tuple[str, str]]:
    """Each library of LD_PRELOAD that matters, and what becomes of it."""
    problems = {one.name: one.problem for one in machine.loading.preloads if one.by == "LD_PRELOAD"}
    stray = {one.path: one for one in machine.surroundings.stray_libraries if one.variable == "LD_PRELOAD"}
    for path in dict.fromkeys((*stray, *(name for name, problem in problems.items() if problem))):
        problem = problems.get(path) or ("" if path not in stray or stray[path].exists else "gone")
        yield path, _FATES[problem] if problem else f"is loaded before everything that {torch} brings"


@rule("CFG046")
def driver_stubs(machine: Snapshot) -> List[Problem]:
    """A folder of stubs on LD_LIBRARY_PATH: its libcuda is for linking, and answers every call with an error."""
    require_torch(machine)
    stubs = [library for library in machine.surroundings.stray_libraries if _is_driver_stub(library)]
    if not stubs:
        return []
    folder = str(PurePosixPath(stubs[0].path).parent)
    by_soname = any(library.path.endswith(".so.1") for library in stubs)
    severity = Severity.ERROR if by_soname else None
    return [
        Problem(
            {"folder": folder},
            evidence=tuple(library.path for library in stubs),
            affects=("torch", "triton"),
            severity=severity if models(machine) else Severity.INFO,
        )
    ]


def _is_driver_stub(library: StrayLibrary) -> bool:
    return library.variable == "LD_LIBRARY_PATH" and PurePosixPath(library.path).name.startswith("libcuda.so")


def _may_be_taken(machine: Snapshot, library: StrayLibrary) -> bool:
    """Whether a CUDA build of torch that is installed asks for a library of this name (soname)."""
    torch = require_torch(machine)
    if not torch.cuda:
        return False
    stem, _, version = PurePosixPath(library.path).name.partition(".so")
    major = version.strip(".").split(".")[0]
    wanted = _wanted_major(machine, stem, torch.cuda)
    return bool(major) and (wanted is None or major == wanted)


def _wanted_major(machine: Snapshot, stem: str, cuda: str) -> Optional[str]:
    """The number in the soname that torch asks for, or None where nothing tells it."""
    if stem in _OF_CUDA:
        return cuda.split(".")[0]
    if stem.startswith("libcudnn"):
        found = [p.version for p in machine.packages if p.name.startswith("nvidia-cudnn-cu")]
        return found[0].split(".")[0] if found else None
    return None
