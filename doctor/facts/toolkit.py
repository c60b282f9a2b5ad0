"""The CUDA toolkit and the host compiler: what a compilation would use. Binaries from wheels need neither."""

import re
import shutil
from pathlib import Path
from typing import Mapping, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import Toolkit
from envdoc.doctor.files import open_file

TIMEOUT_SECONDS = 5.0
_DEFAULT_HOME = "/usr/local/cuda"  # where torch.utils.cpp_extension looks last
_CUDA_H = re.compile(rb"^#define CUDA_VERSION (\d+)", re.MULTILINE)
_CUDA_H_LIMIT_BYTES = 1 << 16  # line 263 of CUDA 13.0's, 12 kB in
_RELEASE = re.compile(r"release (\d+\.\d+)")


def toolkit(environ: Mapping[str, str]) -> Toolkit:
    """nvcc as torch's extension builder would find it (CUDA_HOME, CUDA_PATH, PATH, the usual folder), and cc."""
    cuda_home = environ.get("CUDA_HOME") or environ.get("CUDA_PATH") or ""
    nvcc = _nvcc(cuda_home, environ)
    compiler, compiler_version = _host_compiler(environ)
    return Toolkit(
        nvcc=nvcc,
        version=_nvcc_version(nvcc) if nvcc else "",
        cuda_home=cuda_home,
        cuda_home_exists=Path(cuda_home).is_dir() if cuda_home else None,
        home_has_nvcc=(Path(cuda_home) / "bin" / "nvcc").is_file() if cuda_home else None,
        host_compiler=compiler,
        host_compiler_version=compiler_version,
    )


def _nvcc(cuda_home: str, environ: Mapping[str, str]) -> str:
    folders = [Path(cuda_home) / "bin"] if cuda_home else []
    for folder in folders:
        if (folder / "nvcc").is_file():
            return str(folder / "nvcc")
    found = shutil.which("nvcc", path=environ.get("PATH", ""))
    usual = Path(_DEFAULT_HOME) / "bin" / "nvcc"
    return found or (str(usual) if usual.is_file() else "")


def _nvcc_version(nvcc: str) -> str:
    """From cuda.h beside it where it lies in a toolkit's folder, since that is a read; else nvcc is asked."""
    header = Path(nvcc).resolve().parent.parent / "include" / "cuda.h"
    try:
        with open_file(header) as file:
            match = _CUDA_H.search(file.read(_CUDA_H_LIMIT_BYTES))
        if match:
            number = int(match.group(1))
            return f"{number // 1000}.{number % 1000 // 10}"
    except OSError:
        pass  # a wrapper script, or a toolkit without headers
    told = _RELEASE.search(_output([nvcc, "--version"]))
    return told.group(1) if told else ""


def _host_compiler(environ: Mapping[str, str]) -> Tuple[str, str]:
    """CC where it is set, else the first of gcc, cc and clang, as triton looks for one (its runtime/build.py)."""
    names = [environ["CC"].split()[0]] if environ.get("CC", "").strip() else ["gcc", "cc", "clang"]
    for name in names:
        path = shutil.which(name, path=environ.get("PATH", ""))
        if path:
            return path, _output([path, "-dumpfullversion", "-dumpversion"]).strip().split("\n")[0][:40]
    return "", ""


def _output(argv: "list[str]") -> str:
    try:
        completed = run(argv, TIMEOUT_SECONDS)
    except EnvdocError:
        return ""
    return completed.stdout if completed.ok else ""
