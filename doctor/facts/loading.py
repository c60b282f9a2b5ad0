"""What LD_LIBRARY_PATH and LD_PRELOAD change for torch: the same process played with them and without.

A file that is taken with the variables where another would be taken without them is an override; everything else that
they lead to is never opened. Nothing is read where no variable is set.
"""

import os
import re
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.facts.binaries import find_package
from envdoc.doctor.facts.ld_search import Files, Loaded, Process
from envdoc.doctor.facts.library_versions import library_version
from envdoc.doctor.facts.library_wants import missing_symbols, missing_versions
from envdoc.doctor.facts.root import read_text
from envdoc.doctor.facts.snapshot import Interpreter
from envdoc.doctor.facts.snapshot_loader import Loading, Override, Preload
from envdoc.doctor.facts.torch_loading import play
from envdoc.doctor.files import open_file

CUDA = re.compile(
    r"^lib(?:cudart|cublas|cublasLt|cudnn\w*|nccl|nvrtc|nvJitLink|cusparse|cusparseLt|cusolver|cusolverMg|cufft|curand"
    r"|cupti|cufile|nvshmem_host|nvToolsExt)\.so"
)
_PRELOAD_FILE = "/etc/ld.so.preload"
_VARIABLES = ("LD_LIBRARY_PATH", "LD_PRELOAD", _PRELOAD_FILE)
_RUNTIME = ("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1", "libz.so.1")
# Compiled modules of the training stack, by what they are called in site-packages; the first of each is looked at.
_BESIDE = (
    "numpy/_core/_multiarray_umath.*.so",
    "numpy/core/_multiarray_umath.*.so",
    "tokenizers/tokenizers.*.so",
    "safetensors/_safetensors_rust.*.so",
    "sentencepiece/_sentencepiece.*.so",
    "pyarrow/lib.*.so",
    "triton/_C/libtriton.so",
    "flash_attn_2_cuda*.so",
    "xformers/_C*.so",
)
_HEAD_BYTES = 1 << 16


def loading(told: Interpreter, environ: Mapping[str, str], cuda: str = "") -> Loading:
    """The model's answers for that interpreter, whose torch is built for that CUDA, in a shell with those variables."""
    library_path = environ.get("LD_LIBRARY_PATH", "")
    wanted = tuple(_preload_names(environ.get("LD_PRELOAD", "")))
    if not (wanted or _leads_somewhere(library_path)) or not told.machine:
        return Loading()
    files = Files(told.machine)
    program = os.path.realpath(told.path)
    present = Process(program, library_path, wanted, files)
    preloaded = tuple(_preload(name, by, present, files) for name, by in wanted)
    torch = find_package("torch", told.sys_path)
    if torch is None:
        return Loading(preloads=preloaded)
    beside = tuple(_beside(torch.parent, cuda))
    # What every process of this machine is given stays: it is no variable, and nothing that a shell could change.
    by_file = tuple(pair for pair in wanted if pair[1] == _PRELOAD_FILE)
    plain = Process(program, "", by_file, files)
    for process in (present, plain):
        play(process, torch, told.sys_path, beside)
    own = tuple(dict.fromkeys((told.prefix, str(torch.parent))))
    asked = {request.name for request in present.requests if CUDA.match(request.name)}
    return Loading(
        modelled=bool(asked),
        overrides=tuple(_overrides(present, plain, own)),
        preloads=preloaded,
        taken=tuple(_plain(one.path) for one in present.loaded if one.by in _VARIABLES and _is_cuda(one)),
        asked=tuple(sorted(asked)),
    )


def _is_cuda(one: Loaded) -> bool:
    return any(CUDA.match(name) for name in one.names)


def _leads_somewhere(library_path: str) -> bool:
    """Whether a folder of LD_LIBRARY_PATH holds a library that torch's may ask for; the driver's mounts do not."""
    for folder in re.split("[:;]", library_path):
        try:
            names = [entry.name for entry in os.scandir(folder or ".")]
        except OSError:
            continue
        if any(CUDA.match(name) or name in _RUNTIME for name in names):
            return True
    return False


def _preload_names(variable: str) -> Iterator[Tuple[str, str]]:
    for name in re.split(r"[: ]+", variable):
        if name:
            yield name, "LD_PRELOAD"
    for name in re.split(r"[:\s]+", read_text(_PRELOAD_FILE)):
        if name:
            yield name, _PRELOAD_FILE


def _preload(name: str, by: str, process: Process, files: Files) -> Preload:
    path = process.find(name)
    problem = ""
    if path:
        problem = "damaged" if files.dynamic(path)[1] else ""
    elif os.sep in name and files.fits(name) is False:
        problem = "machine"
    elif "$" not in name:  # $LIB is another folder on each distribution
        problem = "gone"
    return Preload(name, by, path, problem)


def _beside(site: Path, cuda: str) -> Iterator[Path]:
    if cuda:
        yield from site.glob(f"bitsandbytes/libbitsandbytes_cuda{cuda.replace('.', '')}.so")
    for pattern in _BESIDE:
        yield from sorted(site.glob(pattern))[-1:]


def _overrides(present: Process, plain: Process, own: Sequence[str]) -> Iterator[Override]:
    before: Dict[str, Loaded] = {}
    for request in plain.requests:
        if request.answer is not None:
            before.setdefault(request.name, request.answer)
    asked: Dict[str, List[Loaded]] = {}
    taken: Dict[str, Loaded] = {}
    for request in present.requests:
        if request.answer is not None:
            asked.setdefault(request.name, []).append(request.asker)
            taken.setdefault(request.name, request.answer)
    for name, found in taken.items():
        displaced = before.get(name)
        if os.path.realpath(found.path) == (os.path.realpath(displaced.path) if displaced else ""):
            continue
        override = _override(name, found, displaced, asked[name], own)
        # A library that only the variable leads to is what it was set for, unless it cannot serve.
        is_bad = override.problem or override.missing_versions
        if is_bad or (displaced is not None and CUDA.match(name)):
            yield override


def _override(
    name: str, found: Loaded, displaced: Optional[Loaded], askers: Sequence[Loaded], own: Sequence[str]
) -> Override:
    instead = displaced.path if displaced else ""
    versions = library_version(found.path), library_version(instead) if instead else ""
    differ = all(versions) and not versions[1].startswith(
        versions[0]
    )  # 9.1.0 by its file is 9.1.0.70 by its wheel
    is_same = bool(displaced) and not differ and _is_copy(found.path, instead)
    is_judged = not (found.problem or is_same)
    paths = tuple(dict.fromkeys(one.path for one in askers))
    return Override(
        soname=name,
        taken=_plain(found.path),
        instead_of=_plain(instead),
        by=found.by if found.by in ("LD_PRELOAD", _PRELOAD_FILE) else "LD_LIBRARY_PATH",
        asked_by=_plain(paths[0]),
        taken_version=versions[0],
        own_version=versions[1],
        is_own=any(_is_inside(instead, folder) for folder in own),
        is_same=is_same,
        problem=found.problem,
        missing_versions=_lost_versions(name, found.path, instead, paths) if is_judged else (),
        missing_symbols=missing_symbols(found.path, instead, paths)
        if is_judged and instead and CUDA.match(name)
        else (),
    )


def _plain(path: str) -> str:
    """Without the `..` that an $ORIGIN leaves in it."""
    return os.path.realpath(path) if "/../" in path else path


def _lost_versions(name: str, given: str, displaced: str, askers: Sequence[str]) -> Tuple[str, ...]:
    """The symbol versions that are missing in the file that is given and were there in the displaced one."""
    lost = missing_versions(name, given, askers)
    missing_anyway = missing_versions(name, displaced, askers) if lost and displaced else ()
    return tuple(version for version in lost if version not in missing_anyway)


def _is_inside(path: str, folder: str) -> bool:
    return bool(folder) and path.startswith(folder.rstrip("/") + "/")


def _is_copy(one: str, other: str) -> bool:
    """Two files of one size that begin alike: two releases of a library never have."""
    try:
        with open_file(Path(one)) as first, open_file(Path(other)) as second:
            same_size = os.fstat(first.fileno()).st_size == os.fstat(second.fileno()).st_size
            return same_size and first.read(_HEAD_BYTES) == second.read(_HEAD_BYTES)
    except OSError:
        return False
