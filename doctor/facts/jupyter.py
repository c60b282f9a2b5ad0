"""Jupyter: whether the target has it, which kernels are registered, and whether this process runs inside one.

A notebook often runs another interpreter than the one whose packages were mended: the kernel specs say which.
"""

from pathlib import Path
from typing import Iterable, List, Mapping, Tuple

from envdoc.doctor.facts.snapshot import Jupyter, Kernel, Package
from envdoc.doctor.files import read_text

_INSIDE = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "COLAB_RELEASE_TAG", "KAGGLE_KERNEL_RUN_TYPE")
_DISTRIBUTIONS = (
    "jupyterlab",
    "notebook",
    "jupyter-core",
    "ipykernel",
)  # what the user calls "Jupyter" first
_SYSTEM_FOLDERS = ("/usr/local/share/jupyter", "/usr/share/jupyter")


def jupyter(environ: Mapping[str, str], prefix: str, packages: Iterable[Package]) -> Jupyter:
    """`prefix` is the target's; of kernels with one name the first counts, as in jupyter_client."""
    versions = {package.name: package.version for package in reversed(list(packages))}
    return Jupyter(
        version=next((versions[name] for name in _DISTRIBUTIONS if name in versions), ""),
        inside=any(environ.get(name) for name in _INSIDE),
        kernels=_kernels(environ, prefix),
    )


def _kernels(environ: Mapping[str, str], prefix: str) -> Tuple[Kernel, ...]:
    data = Path(environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or "/") / ".local" / "share")
    folders = [Path(environ.get("JUPYTER_DATA_DIR") or data / "jupyter")]
    folders += [Path(prefix) / "share" / "jupyter"] if prefix else []
    folders += map(Path, _SYSTEM_FOLDERS)
    kernels: List[Kernel] = []
    for folder in folders:
        try:
            specs = sorted(
                (folder / "kernels").glob("*/kernel.json"), key=lambda spec: spec.parent.name.lower()
            )
        except OSError:
            continue
        for spec in specs:
            if spec.parent.name.lower() not in (kernel.name for kernel in kernels):
                kernels.append(Kernel(spec.parent.name.lower(), _interpreter(spec)))
    return tuple(kernels)


def _interpreter(spec: Path) -> str:
    """argv[0] of the spec; empty where it cannot be read or is no spec."""
    import json

    try:
        argv = json.loads(read_text(spec, 1 << 20))["argv"]
        return str(argv[0])
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return ""
