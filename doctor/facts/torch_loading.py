"""The order in which `import torch`, a first convolution and bitsandbytes open libraries, played on the model.

torch/__init__.py opens libtorch_global_deps.so; where that fails, or in newer releases always, it opens libraries of
the nvidia wheels by their paths first (`_preload_cuda_deps`); then Python opens torch/_C. What its own text says is
followed, so that each release is played as it is. What cuDNN opens when it is first used has the number of its
libcudnn and lies beside it (names read from libcudnn 9.28 and libcudnn_graph 9.28, 2026-11-24).
"""

import re
from pathlib import Path
from typing import Iterator, NamedTuple, Sequence, Tuple

from envdoc.doctor.facts.ld_search import Loaded, Process
from envdoc.doctor.files import read_text

_SOURCE_LIMIT_BYTES = 1 << 18
_PAIR = re.compile(r"['\"](\w+)['\"]\s*[,:]\s*['\"](lib[\w-]+\.so[^'\"]*)['\"]")
_MARKER = re.compile(r"['\"]([^'\"]+)['\"] not in _maps")
_ALL_OF_THEM = "_preload_cuda_deps(required=False)"  # torch 2.14
# The parts in the order in which they are first opened; those of cuDNN 8 stand behind.
_CUDNN_PARTS = (
    *("graph", "ops", "cnn", "adv", "ext", "heuristic"),
    *("engines_precompiled", "engines_runtime_compiled", "engines_tensor_ir"),
    *("ops_infer", "ops_train", "cnn_infer", "cnn_train", "adv_infer", "adv_train"),
)
_CUDNN = re.compile(r"^libcudnn\.so\.(\d+)$")
_LATER = ("libtorch_cuda_linalg.so",)  # opened by torch itself at the first call of its linear algebra


def play(process: Process, folder: Path, sys_path: Sequence[str], beside: Sequence[Path]) -> None:
    """Open what importing torch from `folder` opens, then cuDNN's parts, then the libraries `beside` it."""
    plan = preloads(folder / "__init__.py")
    deps = folder / "lib" / "libtorch_global_deps.so"
    if deps.is_file():
        process.open(str(deps))
        missing = [request.name for request in process.requests if request.answer is None]
        # torch looks in the error for the names of the libraries that it knows how to find
        known = tuple(pattern.partition(".")[0] for _, pattern in plan.after_failure)
        failed = any(name.partition(".")[0] in known for name in missing)
        if failed or not plan.marker or any(plan.marker in one.path for one in process.loaded):
            for name, pattern in plan.after_failure if failed else plan.always:
                for path in _wheel_files(sys_path, name, pattern):
                    process.open(path)
        if failed:
            process.forget_missing()
    for module in (*sorted(folder.glob("_C.*.so")), *sorted(folder.glob("_C.so"))):
        process.open(str(module))
    for name in _LATER:
        if (folder / "lib" / name).is_file():
            process.open(str(folder / "lib" / name))
    for library in list(process.loaded):
        _parts_of(library, process)
    for extension in beside:
        process.open(str(extension))


class Plan(NamedTuple):
    """The (folder, pattern) of what torch opens by path, in its order."""

    always: Sequence[Tuple[str, str]] = ()
    after_failure: Sequence[Tuple[str, str]] = ()  # where libtorch_global_deps.so lacks a library
    marker: str = ""  # `always` holds only where a library with this in its path is loaded


def preloads(source: Path) -> Plan:
    """What that torch/__init__.py says about libraries that it opens first."""
    try:
        text = read_text(source, _SOURCE_LIMIT_BYTES)
    except OSError:
        return Plan()
    happy, _, failing = _body(text, "_load_global_deps").partition("except OSError")
    listed = _PAIR.findall(_body(text, "_preload_cuda_deps")) + _PAIR.findall(failing)
    marker = _MARKER.search(happy)
    always = listed if _ALL_OF_THEM in happy else _PAIR.findall(happy)
    return Plan(always, listed, marker.group(1) if marker else "")


def _body(text: str, function: str) -> str:
    start = text.find(f"\ndef {function}(")
    end = text.find("\ndef ", start + 1)
    return text[start:end] if start >= 0 else ""


def _wheel_files(sys_path: Sequence[str], name: str, pattern: str) -> Iterator[str]:
    """The file of the first entry of the search path that has one: nvidia/NAME/lib, or nvidia/cuNN/lib of CUDA 13."""
    for entry in sys_path:
        base = Path(entry, "nvidia")
        if not base.is_dir():
            continue
        found = sorted(base.glob(f"{name}/lib/{pattern}")) or sorted(base.glob(f"cu[0-9]*/lib/{pattern}"))
        if found:
            yield str(found[0])
            return


def _parts_of(library: Loaded, process: Process) -> None:
    """dlopen, by a libcudnn that is loaded, of its parts."""
    match = next((found for found in map(_CUDNN.match, sorted(library.names)) if found), None)
    if not match:
        return
    for part in _CUDNN_PARTS:
        name = f"libcudnn_{part}.so.{match.group(1)}"
        if Path(library.origin, name).exists():
            process.open(name, library)
