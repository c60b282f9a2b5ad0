"""What transformers demands of other packages in its own source, where pip does not look.

`dependency_versions_table.py` holds what it checks when it is imported; `utils/import_utils.py` holds the torch
below which it goes on without torch and without an exception. Both are read as text and never run.
"""

import ast
import re
from pathlib import Path
from typing import Optional, Sequence, Tuple

from envdoc.doctor.facts.binaries import assigned, find_package
from envdoc.doctor.facts.snapshot import TransformersBuild
from envdoc.doctor.files import read_text

# 4.53 to 5.23: "Disabling PyTorch because PyTorch >= 2.6 is required but found {torch_version}"
_DISABLING = re.compile(r"Disabling PyTorch because PyTorch\s*>=\s*([0-9][0-9.]*[0-9])")


def transformers_build(sys_path: Sequence[str]) -> Optional[TransformersBuild]:
    """transformers' version, table and torch minimum; None where it is not installed."""
    folder = find_package("transformers", sys_path)
    if folder is None:
        return None
    disabling = _DISABLING.search(_text(folder / "utils" / "import_utils.py"))
    return TransformersBuild(
        version=assigned(_text(folder / "__init__.py"), "__version__") or "",
        dependency_table=_table(_text(folder / "dependency_versions_table.py")),
        torch_minimum=disabling.group(1) if disabling else "",
    )


def _table(source: str) -> Tuple[Tuple[str, str], ...]:
    """The dictionary `deps` as pairs; empty where the file is absent or is no such table."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):
        return ()
    for statement in body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                table = ast.literal_eval(statement.value)
            except ValueError:
                continue
            if statement.targets[0].id == "deps" and isinstance(table, dict):
                return tuple((str(name), str(requirement)) for name, requirement in table.items())
    return ()


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError:
        return ""
