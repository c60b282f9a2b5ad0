"""In a new environment: keep what Python compiles, and compile on a second core what the first will import later.

usage: _bytecode.py      imports what is worth it, in an order of its own, and says nothing
"""

import os
import subprocess
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import cache_from_source, find_spec
from pathlib import Path
from typing import Any, Optional

# What does without torch first: that is what the server is at meanwhile. Python takes a .pyc that the other process
# has written as its own.
AHEAD = ("sympy", "datasets", "networkx", "triton", "bitsandbytes", "peft")


def keep_bytecode() -> None:
    """Let Python keep what it compiles from here on, but for what lies beside these scripts, which is envdoc's own."""
    write, own = SourceFileLoader.set_data, str(Path(__file__).parent)

    def set_data(self: Any, path: str, data: Any, **options: Any) -> None:
        if not str(path).startswith(own):
            write(self, path, data, **options)

    SourceFileLoader.set_data = set_data  # type: ignore[method-assign]
    sys.dont_write_bytecode = False


def start_ahead() -> "Optional[subprocess.Popen[bytes]]":
    """The second process, where torch was never compiled and there is a core for it; None otherwise."""
    try:
        spec = find_spec("torch")
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or Path(cache_from_source(spec.origin)).exists():
        return None
    if len(os.sched_getaffinity(0)) < 2:
        return None
    null = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, __file__], stdin=null, stdout=null, stderr=null)


def main() -> None:
    """Import them; what fails here fails in the server too, and is told there."""
    keep_bytecode()
    for module in AHEAD:
        try:
            import_module(module)
        except Exception:
            continue


if __name__ == "__main__":
    main()
    os._exit(0)
