"""The .pth files of a site folder: lines that lead nowhere, and imports that fail at every start of Python.

How `site` reads them: a line that starts with `import ` is executed, `#` is a comment, any other is a folder for
the search path and is passed over in silence where it does not exist. Editable installs are such a line, or a
`__editable___NAME_finder` whose MAPPING says which folder serves which import name.
"""

import re
import sys
from ast import literal_eval
from pathlib import Path
from typing import Iterator, List, Sequence

from envdoc.doctor.facts.packages import normalised
from envdoc.doctor.facts.snapshot import PthProblem
from envdoc.doctor.files import read_text

_LIMIT_BYTES = 1 << 16
_IMPORT = re.compile(r"import[ \t]+([A-Za-z_]\w*)")
_MAPPING = re.compile(r"^MAPPING[^=\n]*= *(\{.*\}) *$", re.MULTILINE)
_EDITABLE = re.compile(r"__editable__[._]+(.+?)(?:-[0-9].*)?\.pth$")


def pth_problems(folder: Path, names: Sequence[str], sys_path: Sequence[str]) -> List[PthProblem]:
    """What is wrong with these .pth files of that folder; empty where every line leads somewhere."""
    return [
        problem
        for name in names
        if not name.startswith(".")
        for line in _text(folder / name).splitlines()
        for problem in _judge(folder, name, line.strip(), sys_path)
    ]


def _judge(folder: Path, name: str, line: str, sys_path: Sequence[str]) -> Iterator[PthProblem]:
    match = _EDITABLE.match(name)
    package = normalised(match.group(1)) if match else ""
    if not line or line.startswith("#"):
        return
    imported = _IMPORT.match(line)
    if imported is None:
        if not _exists(folder / line):
            yield PthProblem(str(folder / name), package, line, "folder")
        return
    module = imported.group(1)
    if module not in sys.builtin_module_names and not any(_has_module(Path(p), module) for p in sys_path):
        yield PthProblem(str(folder / name), package, line, "module")
    elif module.startswith("__editable___"):
        for target in _mapped(_text(folder / f"{module}.py")):
            if not _exists(Path(target)):
                yield PthProblem(str(folder / name), package, target, "folder")


def _mapped(finder: str) -> List[str]:
    match = _MAPPING.search(finder)
    try:
        mapping = literal_eval(match.group(1)) if match else {}
        return [str(target) for target in mapping.values()]
    except (ValueError, SyntaxError, AttributeError):
        return []


def _has_module(folder: Path, module: str) -> bool:
    if not _exists(folder) or folder.is_file():  # a zipped library: cannot be told from outside
        return folder.is_file()
    return any(
        _exists(folder / f"{module}{ending}") for ending in ("", ".py", ".so", ".abi3.so", ".pyc")
    ) or any(folder.glob(f"{module}.*.so"))


def _exists(path: Path) -> bool:
    """Also a single module of an editable install, which the mapping names without its suffix."""
    try:
        return path.exists() or path.with_name(path.name + ".py").exists()
    except (OSError, ValueError):
        return False


def _text(path: Path) -> str:
    try:
        return read_text(path, _LIMIT_BYTES, "utf-8-sig")
    except OSError:
        return ""
