"""Jupyter: whether the target has it, which kernels are registered, and whether this process runs inside one.

A notebook often runs another interpreter than the one whose packages were mended: the kernel specs say which. They are
looked for as jupyter_core 5 does (paths.py, jupyter_path): JUPYTER_PATH; the environment of the Jupyter that is
started, then the user's folder, or the other way round outside environments; then the system's folders. The folder
under the target's own prefix stands beside that of the Jupyter on PATH, which need not be the target's.
"""

import os
import shutil
from pathlib import Path
from typing import Iterable, Iterator, List, Mapping, Tuple

from envdoc.doctor.facts.leaks import interpreter_of
from envdoc.doctor.facts.snapshot import Interpreter, Jupyter, Kernel, Package
from envdoc.doctor.files import read_text

_INSIDE = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
_DISTRIBUTIONS = (
    "jupyterlab",
    "notebook",
    "jupyter-core",
    "ipykernel",
)  # what the user calls "Jupyter" first
_SYSTEM_FOLDERS = ("/usr/local/share/jupyter", "/usr/share/jupyter")
_PROGRAMS = ("jupyter", "jupyter-lab", "jupyter-notebook")


def jupyter(environ: Mapping[str, str], told: Interpreter, packages: Iterable[Package]) -> Jupyter:
    """Of kernels with one name the first counts, as in jupyter_client."""
    versions = {package.name: package.version for package in reversed(list(packages))}
    server = _server_python(environ.get("PATH", ""))
    return Jupyter(
        version=next((versions[name] for name in _DISTRIBUTIONS if name in versions), ""),
        inside=any(environ.get(name) for name in _INSIDE),
        kernels=_kernels(environ, told, server),
        server_python=server,
    )


def _server_python(path: str) -> str:
    for name in _PROGRAMS:
        found = shutil.which(name, path=path)
        if found:
            return interpreter_of(Path(found))
    return ""


def _folders(environ: Mapping[str, str], told: Interpreter, server: str) -> Iterator[Path]:
    yield from (Path(entry) for entry in environ.get("JUPYTER_PATH", "").split(os.pathsep) if entry)
    data = Path(environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or "/") / ".local" / "share")
    user = Path(environ.get("JUPYTER_DATA_DIR") or data / "jupyter")
    prefixes = dict.fromkeys((str(Path(server).parent.parent) if server else "", told.prefix))
    own = [Path(prefix) / "share" / "jupyter" for prefix in prefixes if prefix not in ("", "/usr")]
    wish = environ.get("JUPYTER_PREFER_ENV_PATH", "").lower()
    # jupyter_core turns it on by itself in virtual and conda environments; "no", "n", "false", "off", "0" turn it off
    first = wish not in ("no", "n", "false", "off", "0", "0.0") if wish else _is_environment(told)
    yield from (*own, user) if first else (user, *own)
    yield from map(Path, _SYSTEM_FOLDERS)


def _is_environment(told: Interpreter) -> bool:
    return told.is_virtual_environment or told.is_conda


def _kernels(environ: Mapping[str, str], told: Interpreter, server: str) -> Tuple[Kernel, ...]:
    kernels: List[Kernel] = []
    for folder in _folders(environ, told, server):
        try:
            specs = sorted(
                (folder / "kernels").glob("*/kernel.json"), key=lambda spec: spec.parent.name.lower()
            )
        except OSError:
            continue
        for spec in specs:
            if spec.parent.name.lower() not in (kernel.name for kernel in kernels):
                kernels.append(_kernel(spec))
    return tuple(kernels)


def _kernel(spec: Path) -> Kernel:
    """The interpreter is argv[0] of the spec; empty where it cannot be read or is no spec."""
    import json

    try:
        interpreter = str(json.loads(read_text(spec, 1 << 20))["argv"][0])
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        interpreter = ""
    exists = Path(interpreter).exists() if Path(interpreter).is_absolute() else None
    return Kernel(spec.parent.name.lower(), interpreter, str(spec), exists)
