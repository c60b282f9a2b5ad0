"""Two copies of a package on the path: the one that is imported is not the one whose metadata is newest."""

import importlib.metadata
import sys
from pathlib import Path

from _verdict import finish


def main():
    import accelerate

    found = []
    for place in sys.path:
        for info in sorted(Path(place).glob("accelerate-*.dist-info")) if place else []:
            found.append(importlib.metadata.Distribution.at(info).version)
    finish(len(set(found)) > 1, f"imported {accelerate.__version__}; on the path: {', '.join(found)}")


main()
