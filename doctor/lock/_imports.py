"""A script for the new environment's Python: import what one package installed, or say how large packages are.

python _imports.py import NAME      imports its top-level modules; one JSON object on the last line
python _imports.py size NAME ...    the bytes of its files on the disk
"""

import importlib
import json
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Dict, List, Sequence

# Folders that projects install beside their module by mistake; importing them proves nothing.
BESIDE = {
    "test",
    "tests",
    "testing",
    "doc",
    "docs",
    "example",
    "examples",
    "benchmark",
    "benchmarks",
    "scripts",
}


def top_level(name: str) -> List[str]:
    """The modules that the package put into site-packages: from top_level.txt, or else from its list of files."""
    found = distribution(name)
    words = (found.read_text("top_level.txt") or "").split()
    if not words:
        for file in found.files or ():
            first = file.parts[0]
            if len(file.parts) == 1 and first.endswith(".py"):
                words.append(first[:-3])
            elif len(file.parts) == 1 and ".cpython-" in first:
                words.append(first.split(".")[0])
            elif len(file.parts) == 2 and file.parts[1] == "__init__.py":
                words.append(first)
    modules = [word for word in dict.fromkeys(words) if word.isidentifier() and word not in BESIDE]
    return [word for word in modules if not word.startswith("_")] or modules


def size(name: str) -> int:
    """The bytes of every file that the package's list names."""
    total = 0
    for file in distribution(name).files or ():
        try:
            total += Path(str(file.locate())).stat().st_size
        except OSError:
            continue
    return total


def main(what: str, names: Sequence[str]) -> Dict[str, object]:
    """Do one of the two."""
    if what == "size":
        return {"bytes": sum(size(name) for name in names)}
    modules = top_level(names[0])
    for module in modules:
        importlib.import_module(module)
    return {"modules": modules}


if __name__ == "__main__":
    print("\n" + json.dumps(main(sys.argv[1], sys.argv[2:])))
