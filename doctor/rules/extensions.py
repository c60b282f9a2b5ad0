"""Rules about compiled extensions: built for one torch, one CUDA, one Python, one system, and running with another."""

from typing import List, Tuple, Union

from envdoc.doctor.facts.snapshot import Extension, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.extension_words import (
    TORCH_LIBRARY,
    deciding,
    extension_name,
    load_severity,
    readable,
    reinstall,
    require_extensions,
    source_note,
)
from envdoc.doctor.rules.machine import judged_models, require_cuda_torch, require_torch, shorten, torch_name
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule
from envdoc.doctor.tables.architectures import serving
from envdoc.doctor.tables.extensions import extension_use, is_known_extension
from envdoc.doctor.tables.versions import numbers, public

_CUDA_BUILD = ("libc10_cuda.so", "libtorch_cuda.so", "libtorch_cuda_linalg.so")
# deepspeed refuses operators that were compiled for another torch or CUDA than the one that runs
# (assert_torch_info in op_builder/builder.py); every other one is judged by its symbols.
_REFUSES_BY_VERSION = "deepspeed"
_REFUSES_CUDA_MAJOR = "torchvision"  # when it is imported (_check_cuda_version in extension.py)


@rule("TOR010")
def extension_without_kernels(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A distribution none of whose deciding libraries holds code for a GPU of the machine."""
    torch, _ = require_cuda_torch(machine)
    gpus = [
        gpu
        for gpu in judged_models(machine)
        if not torch.architectures or serving(torch.architectures, gpu.capability)
    ]
    if not gpus:
        raise Skip("torch itself has no kernels for the GPU, which TOR003 judges")
    problems: List[Problem] = []
    serves: List[str] = []
    for found in require_extensions(machine).found:
        libraries = [library for library in deciding(found) if library.architectures]
        if not libraries:  # the main one only binds what others hold
            libraries = [library for library in found.libraries if library.architectures]
        if not libraries or extension_use(found.name).kernels == "optional":
            continue
        for gpu in gpus:
            if any(serving(library.architectures, gpu.capability) for library in libraries):
                continue
            has = list(dict.fromkeys(name for library in libraries for name in library.architectures))
            values = {
                "name": extension_name(found),
                "sm": gpu.sm,
                "gpu": gpu.name,
                "has": " ".join(has),
                "count": "one library" if len(libraries) == 1 else f"{len(libraries)} libraries",
            }
            evidence = tuple(
                f"{library.file}: {' '.join(library.architectures)}" for library in libraries[:6]
            )
            severity = Severity.WARNING if is_known_extension(found.name) else Severity.INFO
            problems.append(Problem(values, evidence, (found.name,), severity, reinstall(machine, found)))
        serves.append(f"{extension_name(found)} ({' '.join(libraries[0].architectures)})")
    if not problems and not serves:
        raise Skip("no extension with GPU code is installed beside torch")
    gpu_names = " and ".join(dict.fromkeys(gpu.name for gpu in gpus))
    return problems or Passed({"names": ", ".join(serves), "gpu": gpu_names})


@rule("TOR011")
def undefined_symbols(machine: Snapshot) -> Union[List[Problem], Passed]:
    """An extension that needs symbols which this torch does not export: it was built for another one."""
    torch = require_torch(machine)
    told = require_extensions(machine)
    if not told.compared:
        raise Skip("torch's libraries could not be read, so no symbol was looked up")
    problems: List[Problem] = []
    fits: List[str] = []
    for found in told.found:
        libraries = deciding(found)
        broken = [library for library in libraries if library.undefined_count]
        if not broken:
            if any(library.needed for library in libraries) and not any(x.missing for x in libraries):
                fits.append(extension_name(found) + _built(found))
            continue
        first = broken[0]
        values = {
            "name": extension_name(found),
            "torch": torch_name(torch),
            "file": first.file,
            "symbol": _said(first.undefined[0]),
            "count": "one symbol" if first.undefined_count == 1 else f"{first.undefined_count} symbols",
            "built": f" Its files say that it was built for torch {found.built_torch}."
            if found.built_torch
            else "",
            "abi": _string_abi(first.undefined) + source_note(machine),
            "effect": extension_use(found.name).effect,
        }
        evidence = tuple(
            f"{library.file}: undefined symbol {_said(symbol)}"
            for library in broken[:3]
            for symbol in library.undefined[:3]
        )
        severity = load_severity(machine, found, [library.file for library in broken])
        problems.append(
            Problem(values, evidence, (found.name,), severity, commands=reinstall(machine, found))
        )
    if not problems and not fits:
        raise Skip("no extension that uses torch's libraries is installed")
    return problems or Passed({"names": ", ".join(fits), "torch": torch_name(torch)})


@rule("TOR012")
def missing_libraries(machine: Snapshot) -> Union[List[Problem], Passed]:
    """An extension that asks for a library of torch or CUDA which is nowhere: it was built for another CUDA."""
    torch = require_torch(machine)
    problems: List[Problem] = []
    whole: List[str] = []
    for found in require_extensions(machine).found:
        libraries = deciding(found)
        lacking = list(dict.fromkeys(name for library in libraries for name in library.missing))
        if not lacking:
            if any(library.needed for library in libraries):
                whole.append(extension_name(found))
            continue
        lacking.sort(key=lambda name: name not in _CUDA_BUILD)
        if any(name in _CUDA_BUILD for name in lacking) and not torch.cuda:
            reason = f"It is a build for CUDA, and {torch_name(torch)} is a build without it"
        elif lacking[0].startswith(TORCH_LIBRARY):
            reason = f"{torch_name(torch)} has no library of that name: it was built for another one"
        else:
            own = f"is built for CUDA {torch.cuda}" if torch.cuda else "is built without CUDA"
            reason = (
                f"{torch_name(torch)} {own}, and neither its folder, NVIDIA's wheels, LD_LIBRARY_PATH nor the "
                "system has it"
            )
        values = {
            "name": extension_name(found),
            "library": shorten(lacking[0], 26),
            "file": next(library.file for library in libraries if lacking[0] in library.missing),
            "all": ", ".join(lacking),
            "reason": reason + (f".{source_note(machine)}"[:-1] if source_note(machine) else ""),
            "effect": extension_use(found.name).effect,
        }
        evidence = tuple(
            f"{library.file}: needs {', '.join(library.missing)}" for library in libraries if library.missing
        )
        severity = load_severity(machine, found, [library.file for library in libraries if library.missing])
        problems.append(
            Problem(values, evidence[:5], (found.name,), severity, commands=reinstall(machine, found))
        )
    if not problems and not whole:
        raise Skip("no extension that uses CUDA's or torch's libraries is installed")
    return problems or Passed({"names": ", ".join(whole)})


@rule("TOR013")
def built_for_another(machine: Snapshot) -> Union[List[Problem], Passed]:
    """What a distribution says that it was built for, where it or nothing else refuses another version."""
    torch = require_torch(machine)
    told = require_extensions(machine)
    problems: List[Problem] = []
    fits: List[str] = []
    for found in told.found:
        if not (found.built_torch or found.built_cuda):
            continue
        wanted = _mismatch(machine, found, told.compared)
        if not wanted:
            fits.append(extension_name(found) + _built(found))
            continue
        values = {
            "name": extension_name(found),
            "wanted": shorten(wanted, 14),
            "torch": torch_name(torch),
            "cuda": f"CUDA {torch.cuda}" if torch.cuda else "no CUDA",
            "source": found.built_source,
            "verdict": (
                "It compares the two and refuses"
                if found.name in (_REFUSES_BY_VERSION, _REFUSES_CUDA_MAJOR)
                else "Its symbols could not be looked up in this torch, and are not made for it"
            ),
            "effect": extension_use(found.name).effect,
        }
        problems.append(
            Problem(
                values,
                affects=(found.name,),
                severity=load_severity(machine, found),
                commands=reinstall(machine, found),
            )
        )
    if not problems and not fits:
        raise Skip("no extension tells what it was built for")
    return problems or Passed({"names": ", ".join(fits), "torch": torch_name(torch)})


def _mismatch(machine: Snapshot, found: Extension, compared: bool) -> str:
    """`torch 2.8` or `CUDA 12.8` where the build is refused for it; empty where it fits or its symbols decide."""
    torch = require_torch(machine)
    built, here = numbers(public(found.built_torch))[:2], numbers(public(torch.version))[:2]
    cuda, own = numbers(found.built_cuda), numbers(torch.cuda or "")
    if any(library.undefined_count or library.missing for library in deciding(found)):
        return ""  # TOR011 and TOR012 name it
    if found.name == _REFUSES_BY_VERSION:
        if built and here and built != here:
            return f"torch {public(found.built_torch)}"
        return f"CUDA {found.built_cuda}" if cuda and own and cuda[:2] != own[:2] else ""
    if (
        found.name == "torchvision"
    ):  # compares the majors when it is imported (_check_cuda_version in extension.py)
        return f"CUDA {found.built_cuda}" if cuda and own and cuda[0] != own[0] else ""
    looked_up = compared and any(library.needed for library in deciding(found))
    if built and here and built != here and not looked_up:
        return f"torch {public(found.built_torch)}"
    return ""


def _built(found: Extension) -> str:
    parts = [f"torch {found.built_torch}"] if found.built_torch else []
    parts += [f"CUDA {found.built_cuda}"] if found.built_cuda else []
    return f" (built for {', '.join(parts)})" if parts else ""


def _said(symbol: str) -> str:
    """`c10::cuda::SetDevice (_ZN3c104cuda9SetDeviceEi)`"""
    name = readable(symbol)
    return name if name == symbol else f"{shorten(name, 90)} ({shorten(symbol, 160)})"


def _string_abi(symbols: Tuple[str, ...]) -> str:
    """Where the missing symbols take a std::string: which of the two C++ ABIs they were compiled for."""
    if any("__cxx11" in symbol for symbol in symbols):
        return " The symbols take the std::string of the new C++ ABI (cxx11abiTRUE), which may be all that differs."
    if any("RKSs" in symbol for symbol in symbols):
        return " The symbols take the std::string of the old C++ ABI (cxx11abiFALSE), which may be all that differs."
    return ""
