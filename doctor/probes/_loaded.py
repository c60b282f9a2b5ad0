"""Which libraries of CUDA, cuDNN, NCCL, the driver and the C++ runtime are in this process, and whose they are."""

import re
import sys
from pathlib import Path
from typing import Dict, List

_NAMES = re.compile(
    r"/lib(cuda|cudart|cublas|cublasLt|cudnn\w*|nccl|nvrtc|nvJitLink|nvshmem_host|cusparse|cusparseLt|cusolver|cusolverMg"
    r"|cufft|curand|cupti|cufile|stdc\+\+)\.so[^/]*$"
)


def loaded_libraries(torch_file: str) -> Dict[str, List[str]]:
    """`loaded_libraries`: the files that are mapped; `loaded_from_outside`: those that are none of the environment's.

    `torch_file` is torch.__file__. Both are empty where /proc cannot be read.
    """
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    paths = {line.split(None, 5)[5].strip() for line in lines if "/" in line}
    found = sorted(path for path in paths if _NAMES.search(path))
    return {
        "loaded_libraries": found,
        "loaded_from_outside": [path for path in found if not _is_own(Path(path), Path(torch_file).parent)],
    }


def _is_own(path: Path, torch: Path) -> bool:
    """A file of this environment, also where folders or files of it are links into another place."""
    entries = [Path(entry) for entry in sys.path if entry]
    folders = [entry.resolve() for entry in (Path(sys.prefix), *entries) if entry.is_dir()]
    if any(folder in path.parents for folder in folders if str(folder) not in ("/", "/usr")):
        return True
    wheels = [file for entry in entries for file in entry.glob("nvidia/*/lib/" + path.name)]
    return any(file.resolve() == path for file in (*wheels, torch / "lib" / path.name))
