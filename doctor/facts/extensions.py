"""Every compiled extension on the search path that a GPU, torch or the system could refuse, from its own files.

The files of a distribution are those of its RECORD; an .egg folder and the source of an editable install are listed,
and a library at the top of site-packages that nobody recorded is told by its own name.
"""

import os
import re
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set, Tuple
from urllib.parse import unquote, urlsplit

from envdoc.doctor.facts.extension_builds import built_for
from envdoc.doctor.facts.extension_library import Process, read
from envdoc.doctor.facts.library_places import Places
from envdoc.doctor.facts.packages import normalised
from envdoc.doctor.facts.snapshot_extensions import Extension, ExtensionLibrary, Extensions
from envdoc.doctor.facts.torch_symbols import TorchSymbols

# With `quick` these alone are read; their names are those of the dist-info folders, in lower case.
KNOWN = (
    *(
        "flash_attn",
        "flash_attn_3",
        "xformers",
        "torchvision",
        "torchaudio",
        "deepspeed",
        "vllm",
        "sgl_kernel",
    ),
    *(
        "causal_conv1d",
        "mamba_ssm",
        "apex",
        "auto_gptq",
        "gptqmodel",
        "autoawq_kernels",
        "exllamav2",
        "natten",
    ),
    *("transformer_engine", "transformer_engine_torch", "torchcodec", "torchao", "torchtext"),
)
# Described elsewhere (torch, bitsandbytes), or known to have neither GPU code nor torch in them: a tenth of a second.
_PASSED_OVER = frozenset(
    (
        *("torch", "triton", "pytorch_triton", "bitsandbytes", "pip", "setuptools", "wheel"),
        *(
            "numpy",
            "scipy",
            "pandas",
            "pyarrow",
            "scikit_learn",
            "scikit_image",
            "matplotlib",
            "pillow",
            "h5py",
        ),
        *(
            "contourpy",
            "kiwisolver",
            "fonttools",
            "lxml",
            "grpcio",
            "cryptography",
            "aiohttp",
            "numba",
            "llvmlite",
        ),
        *(
            "statsmodels",
            "sympy",
            "polars",
            "shapely",
            "gevent",
            "pydantic_core",
            "tokenizers",
            "safetensors",
        ),
    )
)
_PASSED_OVER_FAMILIES = ("nvidia_", "cuda_", "tensorflow", "jax", "cupy", "pyside", "pyqt")
_RECORD_LIMIT_BYTES = 1 << 26
_IN_RECORD = re.compile(rb'^"?([^,"\n]+\.so)"?,', re.MULTILINE)
_FILES_LIMIT = 400  # of one distribution
# With `quick` two libraries of a distribution are read, these first: the ones that its import needs.
_QUICK_FILES = 2
_FIRST = re.compile(r"(^|/)(_C(_stable(_libtorch)?)?\.|libtorchaudio|[^/]*_cuda\.|common_ops)")
_SYSTEM_FOLDERS = ("/usr/lib/", "/usr/lib64/")


class _Candidate(NamedTuple):
    name: str
    version: str
    folder: Path  # which the files are relative to
    info: str  # the dist-info folder, or "" for none
    files: Tuple[str, ...]


def extensions(
    sys_path: Sequence[str],
    prefixes: Sequence[str],
    python: str,
    torch: str,
    environ: Mapping[str, str],
    quick: bool = False,
) -> Extensions:
    """What is there and what each library lacks. `torch` is the folder of the installed torch, or empty."""
    entries = [entry for entry in dict.fromkeys(sys_path) if not entry.startswith(_SYSTEM_FOLDERS)]
    candidates = [candidate for entry in entries for candidate in _candidates(Path(entry), quick)]
    if not candidates:
        return Extensions("known" if quick else "all")
    version = tuple(int(part) for part in re.findall(r"\d+", python)[:2])
    found: List[Extension] = []
    with TorchSymbols(f"{torch}/lib" if torch else "") as symbols:
        process = Process(symbols, Places(sys_path, prefixes, torch, environ), version, quick)
        for candidate in candidates:
            libraries = _libraries(candidate, process)
            if libraries:
                found.append(_described(candidate, libraries))
        newest = max((v for v in process.libstdcxx if v.startswith("GLIBCXX_3")), key=_numbers, default="")
        depth = "known" if quick else "all"
        return Extensions(depth, symbols.readable, tuple(found), process.glibc, newest)


def _libraries(candidate: _Candidate, process: Process) -> Tuple[ExtensionLibrary, ...]:
    siblings = {Path(file).name: candidate.folder / file for file in candidate.files}
    files = candidate.files
    if process.quick:
        files = tuple(sorted(files, key=lambda file: not _FIRST.search(file))[:_QUICK_FILES])
    told = (read(candidate.folder / file, file, siblings, process) for file in files)
    return tuple(library for library in told if library is not None)


def _described(candidate: _Candidate, libraries: Tuple[ExtensionLibrary, ...]) -> Extension:
    torch, cuda, source = built_for(candidate.name, candidate.version, candidate.folder, candidate.info)
    return Extension(
        candidate.name, candidate.version, str(candidate.folder), torch, cuda, source, libraries=libraries
    )


def _candidates(folder: Path, quick: bool) -> Iterator[_Candidate]:
    if folder.suffix == ".egg":
        files = _listed(folder)
        if files:
            yield _Candidate(normalised(folder.name.split("-")[0]), _version(folder.name), folder, "", files)
        return
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError:  # a zip file, or a folder that is gone
        return
    recorded: Set[str] = set()
    for info in names:
        if not info.endswith((".dist-info", ".egg-info")) or info.startswith("~"):
            continue
        stem = info.rpartition(".")[0]
        name = stem.split("-")[0].lower().replace(".", "_")
        if name in _PASSED_OVER or name.startswith(_PASSED_OVER_FAMILIES) or (quick and name not in KNOWN):
            continue
        files = _recorded(folder / info)
        recorded.update(files)
        place = folder
        if not files and info.endswith(".dist-info"):
            place = _editable_source(folder / info / "direct_url.json")
            files = _listed(place) if place != Path() else ()
        if files:
            yield _Candidate(normalised(name), _version(stem), place, str(folder / info), files)
    alone = [name for name in names if name.endswith(".so") and name not in recorded]
    if alone and not quick:
        for stem, files in _by_stem(alone).items():
            yield _Candidate(stem, "", folder, "", files)


def _recorded(info: Path) -> Tuple[str, ...]:
    """The libraries that a distribution recorded, without the copies of foreign ones in its *.libs folder."""
    try:
        with (info / "RECORD").open("rb") as file:
            raw = file.read(_RECORD_LIMIT_BYTES)
    except OSError:
        return ()
    found = [os.fsdecode(match) for match in _IN_RECORD.findall(raw)] if b".so" in raw else []
    kept = [
        file
        for file in found
        if not file.startswith(("/", ".."))
        and "/../" not in file
        and ".libs/" not in file
        and "\0" not in file
    ]
    return tuple(sorted(kept)[:_FILES_LIMIT])


def _listed(folder: Path) -> Tuple[str, ...]:
    """Libraries at the top of a folder and up to two folders below, but not in build/."""
    found: List[str] = []
    try:
        for pattern in ("*.so", "*/*.so", "*/*/*.so"):
            for path in sorted(folder.glob(pattern))[:_FILES_LIMIT]:
                file = str(path.relative_to(folder))
                if not file.startswith(("build/", "dist/", ".")):
                    found.append(file)
    except OSError:
        return tuple(found)
    return tuple(found[:_FILES_LIMIT])


def _editable_source(direct_url: Path) -> Path:
    """The folder of an editable install (PEP 610); an empty path for any other."""
    try:
        text = direct_url.read_text("utf-8", "replace")
    except OSError:
        return Path()
    match = re.search(r'"url":\s*"(file:[^"]+)"', text)
    if '"editable"' not in text or match is None:
        return Path()
    return Path(unquote(urlsplit(match.group(1)).path))


def _by_stem(names: Sequence[str]) -> Dict[str, Tuple[str, ...]]:
    found: Dict[str, Tuple[str, ...]] = {}
    for name in names:
        stem = normalised(name.partition(".")[0])
        found[stem] = (*found.get(stem, ()), name)
    return found


def _version(stem: str) -> str:
    parts = stem.split("-")
    return parts[1] if len(parts) > 1 else ""


def _numbers(text: str) -> Tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))
