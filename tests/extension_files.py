"""Compiled extensions for tests: real libraries that gcc makes, with real dynamic sections and fat binaries.

They ask for torch's libraries and symbols by name, so they load nowhere; envdoc reads them like any other.
"""

import struct
import subprocess
from pathlib import Path
from typing import Iterable, Sequence, Tuple

PTX, CUBIN = 1, 2
ACCELERATED = 1 << 20  # the flag of code for sm_90a


def fat_binary(*names: str) -> bytes:
    """A region as nvcc makes it, with a cubin for each "sm_80" or "sm_90a" and PTX for each "compute_90"."""
    entries = b"".join(_entry(name) for name in names)
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(entries)) + entries


def _entry(name: str) -> bytes:
    kind = PTX if name.startswith("compute_") else CUBIN
    number = name.rpartition("_")[2]
    flags = ACCELERATED if number.endswith("a") else 0
    head = struct.pack("<HHIQ", kind, 0x101, 64, 40).ljust(28, b"\0")
    return head + struct.pack("<IQQ", int(number.rstrip("a")), 0, flags) + bytes(16 + 40)


def compiled(
    path: Path,
    symbols: Iterable[str] = (),
    needed: Sequence[str] = (),
    exports: Iterable[str] = (),
    code: Sequence[str] = (),
    versions: Sequence[Tuple[str, str]] = (),
    soname: str = "",
    runpath: str = "",
) -> Path:
    """A shared library at `path` that wants these symbols from these libraries, and defines `exports`.

    `code` is what its fat binary holds. `versions` are symbol versions that it needs: ("libstdc++.so.6",
    "GLIBCXX_9.9"). The libraries that it asks for are made empty beside it for the linker, and removed again.
    """
    folder = path.parent / f".build-{path.name}"
    folder.mkdir(parents=True)
    used = list(symbols)
    source = "".join(f"extern int {symbol}(void);\n" for symbol in used)
    source += "".join(f"int {symbol}(void) {{ return 1; }}\n" for symbol in exports)
    source += "int use_all(void) { return 0" + "".join(f" + {symbol}()" for symbol in used) + "; }\n"
    stubs: list = []
    for number, (library, version) in enumerate(versions):
        source += f"extern int versioned_{number}(void);\nint use_{number}(void) {{ return versioned_{number}(); }}\n"
        script = folder / f"{number}.map"
        script.write_text(f"{version} {{ global: versioned_{number}; local: *; }};\n")
        text = f"int versioned_{number}(void) {{ return 1; }}\n"
        stubs.append(_linked(folder / library, text, f"-Wl,--version-script,{script},-soname,{library}"))
    for library in needed:
        if not (folder / library).exists():
            stubs.append(_linked(folder / library, "", f"-Wl,-soname,{library}"))
    if code:
        (folder / "code.bin").write_bytes(fat_binary(*code))
        source += f'__asm__(".section .nv_fatbin,\\"a\\"\\n.incbin \\"{folder}/code.bin\\"\\n.previous");\n'
    stubs += [f"-Wl,-soname,{soname}"] if soname else []
    stubs += [f"-Wl,--enable-new-dtags,-rpath,{runpath}"] if runpath else []
    _linked(path, source, "-Wl,--no-as-needed", *stubs, "-Wl,--unresolved-symbols=ignore-all", folder=folder)
    for file in sorted(folder.iterdir()):
        file.unlink()
    folder.rmdir()
    return path


def _linked(path: Path, source: str, *arguments: object, folder: "Path | None" = None) -> Path:
    code = (folder or path.parent) / f"{path.name}.c"
    code.write_text(source or "static int nothing __attribute__((unused));\n")
    command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-o", path, code, *arguments]
    subprocess.run([str(word) for word in command], check=True, timeout=60)
    return path
