"""Shared libraries with a DT_RPATH or DT_RUNPATH, needs, symbols and symbol versions of one's choice, by gcc."""

import atexit
import shutil
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Mapping, Sequence


@lru_cache(maxsize=None)
def _folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="envdoc-loader-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "stubs").mkdir()
    return folder


def library(
    path: Path,
    needed: Sequence[str] = (),
    rpath: str = "",
    runpath: str = "",
    soname: str = "",
    defines: Sequence[str] = (),
    calls: Mapping[str, str] = {},
    version: str = "",
) -> Path:
    """A real library.

    `defines`: its functions, under the symbol version `version` where that is given. `calls`: the functions that it
    wants of others, each with the symbol version that it wants ("" for none), of the first of `needed`.
    """
    folder = _folder()
    path.parent.mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(
        needed
    ):  # the linker wants a file of that name, wherever the loader will look
        stub = folder / "stubs" / name
        if calls and index == 0:
            (versions,) = set(calls.values())
            library(stub, soname=name, defines=tuple(calls), version=versions)
        elif not stub.exists():
            _gcc(stub, "", f"-Wl,-soname,{name}")
    flags = [f"-Wl,-soname,{soname or path.name}", "-Wl,--no-as-needed", f"-L{folder / 'stubs'}"]
    flags += [f"-l:{name}" for name in needed]
    if rpath:
        flags += [f"-Wl,-rpath,{rpath}", "-Wl,--disable-new-dtags"]
    if runpath:
        flags += [f"-Wl,-rpath,{runpath}", "-Wl,--enable-new-dtags"]
    if version:
        script = folder / "versions"
        script.write_text(version + " { global: *; };\n")
        flags.append(f"-Wl,--version-script={script}")
    text = "".join(f"void {name}(void) {{}}\n" for name in defines)
    text += "".join(f"void {name}(void);\n" for name in calls)
    if calls:
        text += f"void call_{abs(hash(path))}(void) {{ {' '.join(f'{name}();' for name in calls)} }}\n"
    _gcc(path, text, *flags)
    return path


def _gcc(path: Path, text: str, *flags: str) -> None:
    source = _folder() / "source.c"
    source.write_text(text)
    command = ["gcc", "-shared", "-fPIC", "-nostdlib", str(source), "-o", str(path), *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def for_another_machine(path: Path, original: Path) -> Path:
    """A copy of the library whose header says that it is for MIPS."""
    data = bytearray(original.read_bytes())
    data[18:20] = b"\x08\x00"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(data))
    return path
