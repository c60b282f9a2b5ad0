"""In a new environment: keep what Python compiles, for the user's first run."""

import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any


def keep_bytecode() -> None:
    """Let Python keep what it compiles from here on, but for what lies beside these scripts, which is envdoc's own."""
    write, own = SourceFileLoader.set_data, str(Path(__file__).parent)

    def set_data(self: Any, path: str, data: Any, **options: Any) -> None:
        if not str(path).startswith(own):
            write(self, path, data, **options)

    SourceFileLoader.set_data = set_data  # type: ignore[method-assign]
    sys.dont_write_bytecode = False
