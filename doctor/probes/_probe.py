"""What every probe script shares: isolation from the network and the user's folders, and the JSON on its last line.

Import this before the library under test: the variables must be set when that library is imported. A script is

    from _probe import at, finish, require
    require("torch")
    at("importing torch"); import torch
    finish({"version": torch.__version__})

Python 3.8 standard library only; runs in the target interpreter, never in envdoc's own.
"""

import atexit
import json
import math
import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from typing import Any, Callable, Dict, NoReturn, Optional

STAGE = "envdoc-probe: "  # the runner reads the last such line of stderr to say where a child ended

FOLDER = tempfile.mkdtemp(prefix="envdoc-probe-")


def _remove(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # and not in a fork of it
        shutil.rmtree(folder, True)


atexit.register(_remove, FOLDER, os.getpid())  # after a signal the runner's own folder, around this one, goes

OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "WANDB_MODE": "disabled",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
    "BITSANDBYTES_NOWELCOME": "1",
}
FOLDERS = (
    "TMPDIR",
    "HF_HOME",
    "XDG_CACHE_HOME",
    "MPLCONFIGDIR",
    "TRITON_CACHE_DIR",
    "TORCHINDUCTOR_CACHE_DIR",
    "TORCH_EXTENSIONS_DIR",
    "CUDA_CACHE_PATH",
)

for _name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "TRANSFORMERS_CACHE", "HF_DATASETS_CACHE", "HF_TOKEN"):
    os.environ.pop(_name, None)  # each would win over HF_HOME
os.environ.update(OFFLINE)
os.environ.update(dict.fromkeys(FOLDERS, FOLDER))
tempfile.tempdir = FOLDER

# Libraries print on stdout when imported and when they end (bitsandbytes 0.37 does both): their stdout is our
# stderr, and the result goes out by the descriptor kept here.
_result_fd = os.dup(1)
os.dup2(2, 1)


def at(stage: str) -> None:
    """Say what comes next, so that a signal or a time-out can be laid at its door ("importing torch")."""
    sys.stderr.write(STAGE + stage + "\n")
    sys.stderr.flush()


def emit(data: Dict[str, Any]) -> None:
    """Print one line of JSON on the real stdout."""
    os.write(_result_fd, (json.dumps(data) + "\n").encode("ascii"))


def finish(data: Dict[str, Any]) -> NoReturn:
    """Print the result and end the process well."""
    emit(data)
    at("ending")
    sys.exit(0)


def require(*modules: str) -> None:
    """End as skipped where a library is absent. Raises ImportError where only its files are gone."""
    for module in modules:
        if find_spec(module) is not None:
            continue
        known = version_of(module)
        if known is not None:
            raise ImportError(f"{module} {known} is registered as installed, but its files are gone")
        finish({"skipped": f"{module} is not installed"})


def version_of(distribution: str) -> Optional[str]:
    """The installed version according to its metadata, or None."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def versions(*distributions: str) -> Dict[str, Optional[str]]:
    """Name -> version (None where absent), and `python`."""
    found = {name: version_of(name) for name in distributions}
    found["python"] = "{}.{}.{}".format(*sys.version_info)
    return found


def one_line(error: BaseException) -> str:
    """`Type: message` on one line, with its first cause: transformers hides that behind its lazy imports."""
    text = f"{type(error).__name__}: {' '.join(str(error).split()) or 'without a message'}"[:300]
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    return text if cause is error else f"{text} (because of {one_line(cause)})"


def finite(value: float) -> Optional[float]:
    """The value, or None for NaN and infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def attempt(case: Callable[..., Dict[str, Any]], *arguments: Any) -> Dict[str, Any]:
    """What `case` returns (a dict of what was observed), or {"error": one line} where it raised."""
    at(case.__name__.replace("_", " "))
    try:
        return case(*arguments)
    except Exception as error:
        return {"error": one_line(error)}
