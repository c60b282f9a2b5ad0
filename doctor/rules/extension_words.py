"""How compiled extensions are named, chosen and reinstalled, for every rule that judges them."""

import re
from typing import List, Sequence, Tuple

from envdoc.doctor.facts.snapshot import Extension, ExtensionLibrary, Extensions, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import models, require_interpreter, shorten
from envdoc.doctor.rules.registry import Skip
from envdoc.doctor.tables.extensions import extension_use, is_known_extension, torchvision_for
from envdoc.doctor.tables.versions import numbers, public, source_build

TORCH_LIBRARY = ("libc10", "libtorch", "libshm")
_COMPONENT = re.compile(r"(\d+)")


def require_extensions(machine: Snapshot) -> Extensions:
    """The extensions that were found. Raises Skip where none was looked for, or none is there."""
    require_interpreter(machine)
    if machine.extensions is None:
        raise Skip("compiled extensions were not looked at")
    if not machine.extensions.found:
        only = "of the well-known ones " if machine.extensions.depth == "known" else ""
        raise Skip(f"no compiled extension {only}is installed beside torch")
    return machine.extensions


def extension_name(found: Extension, limit: int = 24) -> str:
    """`flash-attn 2.8.3`, cut for a title."""
    return shorten(f"{found.name} {found.version}".strip(), limit)


def deciding(found: Extension) -> Tuple[ExtensionLibrary, ...]:
    """The libraries by which a distribution stands or falls: those it cannot do without, or else all of them."""
    use = extension_use(found.name)
    loadable = [library for library in found.libraries if not library.other_python]
    return tuple([library for library in loadable if use.is_main(library.file)] or loadable)


def load_severity(machine: Snapshot, found: Extension, broken: Sequence[str] = ()) -> Severity:
    """How bad it is that these files of a distribution do not load.

    Of one that no table knows it is a note where other parts of it load, and where it does not build on torch:
    onnxruntime goes on without its part for CUDA.
    """
    use = extension_use(found.name)
    if broken and not is_known_extension(found.name):
        rest = [library for library in deciding(found) if library.needed and library.file not in broken]
        on_torch = any(
            name.startswith(TORCH_LIBRARY) for library in found.libraries for name in library.needed
        )
        if rest or not on_torch or not models(machine):
            return Severity.INFO
    return Severity(use.severity if models(machine) or not use.without_gpu else use.without_gpu)


def reinstall(machine: Snapshot, found: Extension) -> Tuple[str, ...]:
    """The command that installs the build for this torch; for torch's companions, their release for it."""
    what = extension_use(found.name).install
    torch = machine.torch.version if machine.torch is not None else ""
    if not found.version:
        return ()  # a file that no distribution owns
    if source_build(torch) and "--no-build-isolation" not in what:
        return ()  # no index has a wheel for such a torch
    version = torchvision_for(torch)
    if ("{version}" in what and not version) or ("{torch}" in what and not numbers(torch)):
        what = found.name
    what = what.format(version=version, torch=".".join(map(str, numbers(public(torch))[:2])) + ".*")
    python = machine.interpreter.path or "python3"
    if extension_use(found.name).resolve and numbers(torch):
        how = f"{python} -m pip" if machine.interpreter.has_pip else "uv pip"
        target = "" if machine.interpreter.has_pip else f" --python {python}"
        sure = " -y" if machine.interpreter.has_pip else ""
        return (
            f"{how} uninstall{target}{sure} {found.name}",
            f'{how} install{target} {what} "torch=={public(torch)}"',
        )
    if machine.interpreter.has_pip:
        return (f"{python} -m pip install --force-reinstall --no-deps {what}",)
    what = what.replace("--no-cache-dir", "--no-cache")
    return (f"uv pip install --python {python} --reinstall --no-deps {what}",)


def source_note(machine: Snapshot) -> str:
    """A sentence about a torch that was built from source, as NVIDIA's containers and Jetson have it; else empty."""
    if machine.torch is None or not source_build(machine.torch.version):
        return ""
    return (
        " This torch is a build of its own (NVIDIA's containers and wheels for Jetson have such versions): wheels of "
        "the public index are not made for it, so take the build that came with it, or compile against it."
    )


def readable(symbol: str) -> str:
    """`c10::SymInt::sym_ne` for _ZNK3c106SymInt6sym_neERKS0_: the nested name of a mangled symbol.

    Arguments are left out. A symbol that is not mangled, or not in this simple way, stays as it is.
    """
    match = re.match(r"_Z(?:T[VIS])?N[rVK]*", symbol)
    if match is None:
        function = re.match(r"_Z(\d+)", symbol)
        return symbol[function.end() : function.end() + int(function.group(1))] if function else symbol
    place = match.end()
    parts: List[str] = []
    while True:
        length = _COMPONENT.match(symbol, place)
        if length is None:
            break
        start = length.end()
        place = start + int(length.group())
        parts.append(symbol[start:place])
    if not parts or place > len(symbol):
        return symbol
    if symbol[place : place + 1] in ("C", "D"):
        parts.append(("~" if symbol[place] == "D" else "") + parts[-1])
    return "::".join(parts)
