"""The Jupyter kernel `envdoc`: one file in the user's Jupyter folder that starts the current generation.

It is the one thing that envdoc writes outside its own folder, and only after `--kernel` and a plan that names the
file. The kernel goes through the `current` link when a notebook is opened, and from there to the generation's own
path: a switch or a rollback needs no new file, and does not change a notebook that is running.
"""

import contextlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence

from envdoc.doctor.errors import FixError
from envdoc.lockfiles import FOLDER

NAME = "envdoc"
_FILE = "kernel.json"
_OWNER = "envdoc_home"  # in the file's metadata: whose it is

# Started by the `current` link's Python: `sys.prefix` then leads through the link, and its real path does not.
_START = (
    "import os, sys; p = os.path.realpath(sys.prefix); b = os.path.join(p, 'bin'); "
    "os.environ.update(VIRTUAL_ENV=p, PATH=b + os.pathsep + os.environ.get('PATH', os.defpath)); "
    "os.execv(os.path.join(b, 'python'), [os.path.join(b, 'python'), '-m', 'ipykernel_launcher', *sys.argv[1:]])"
)


def kernel_file(environ: Optional[Mapping[str, str]] = None) -> Path:
    """Where the user's Jupyter looks for this kernel (jupyter_core, paths.py: jupyter_data_dir)."""
    values = os.environ if environ is None else environ
    home = Path(values.get("HOME") or Path.home())
    data = Path(values.get("XDG_DATA_HOME") or home / ".local" / "share")
    return Path(values.get("JUPYTER_DATA_DIR") or data / "jupyter") / "kernels" / NAME / _FILE


def kernel_spec(home: Path) -> Dict[str, Any]:
    """The content of that file, for envdoc's folder `home`."""
    python = str(home / "current" / "bin" / "python")
    return {
        "argv": [python, "-I", "-c", _START, "-f", "{connection_file}"],
        "display_name": "envdoc (current environment)",
        "language": "python",
        "metadata": {_OWNER: str(home), "debugger": True},
    }


def demand_own(home: Path, environ: Optional[Mapping[str, str]] = None) -> None:
    """Raise FixError where a kernel of that name is there that is not this folder's."""
    file = kernel_file(environ)
    if not os.path.lexists(str(file.parent)):
        return
    owner = _owner(file)
    if owner != str(home):
        whose = f"is that of the envdoc folder `{owner}`" if owner else "is not envdoc's"
        raise FixError(
            f"The Jupyter kernel `{NAME}` in `{file.parent}` {whose}, and is left as it is.",
            f"Remove it yourself (`jupyter kernelspec remove {NAME}`), then run this again.",
        )


def register_kernel(home: Path, environ: Optional[Mapping[str, str]] = None) -> Path:
    """Write the file, in one step; its path. Raises FixError where it cannot be written or is another's."""
    demand_own(home, environ)
    file = kernel_file(environ)
    temporary = file.with_name(f".{_FILE}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(kernel_spec(home), indent=1) + "\n", encoding="utf-8")
        temporary.replace(file)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise FixError(
            f"The Jupyter kernel could not be written to `{file}`: {error.strerror or error}.",
            "The environment itself is in use; set JUPYTER_DATA_DIR to a folder of yours and add --kernel again.",
        ) from error
    return file


def is_registered(home: Path, environ: Optional[Mapping[str, str]] = None) -> bool:
    """Whether the kernel is there and this folder's."""
    return _owner(kernel_file(environ)) == str(home)


def unregister_kernel(home: Path, environ: Optional[Mapping[str, str]] = None) -> Optional[Path]:
    """Remove the kernel if it is this folder's; the file that is gone, or None."""
    file = kernel_file(environ)
    if not is_registered(home, environ):
        return None
    with contextlib.suppress(OSError):
        file.unlink()
    shutil.rmtree(str(file.parent), ignore_errors=True)
    return file


def has_ipykernel(environment: Path) -> bool:
    """Whether that environment can be a kernel."""
    return any(environment.glob("lib/python3*/site-packages/ipykernel/__init__.py"))


def missing_pins(installed: Sequence[str], folder: Path = FOLDER) -> str:
    """The lines of lockfiles/kernel.txt for what is not installed yet: a profile's own pins are never changed."""
    there = {_normalised(name) for name in installed}
    blocks = re.split(r"\n(?=\S)", (folder / "kernel.txt").read_text(encoding="utf-8").strip())
    wanted = [
        block
        for block in blocks
        if not block.startswith("#") and _normalised(block.split("==")[0].split("[")[0]) not in there
    ]
    return "\n".join(wanted) + "\n"


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _owner(file: Path) -> str:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        owner = told["metadata"][_OWNER]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return owner if isinstance(owner, str) else ""
