"""Which keys of adapter_config.json the installed peft reads, by its source: nothing is imported."""

import ast
from pathlib import Path
from typing import Dict, FrozenSet, List, Optional, Set, Tuple

from envdoc.doctor.files import read_text

# Where LoraConfig and its parents have lived: peft 0.2 to 0.5, and since.
_FILES = ("tuners/lora/config.py", "tuners/lora.py", "config.py", "utils/config.py")
_WRITTEN = {
    "auto_mapping",
    "peft_version",
}  # written beside the fields, and read by every peft that writes them
TOLERANT = "Unexpected keyword arguments"  # peft, config.py: from_peft_type, since it passes over keys


def lora_fields(location: str) -> Tuple[Optional[FrozenSet[str]], bool]:
    """(the fields of LoraConfig, whether other keys are passed over) of the peft in that folder of packages.

    (None, False) where it cannot be told.
    """
    folder = Path(location) / "peft"
    classes: Dict[str, ast.ClassDef] = {}
    tolerant = False
    for name in _FILES:
        try:
            text = read_text(folder / name)
            tree = ast.parse(text)
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        tolerant = tolerant or (name == "config.py" and TOLERANT in text)
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                classes.setdefault(node.name, node)
    fields: Set[str] = set()
    waiting: List[str] = ["LoraConfig"]
    while waiting:
        found = classes.pop(waiting.pop(), None)
        if found is None:
            continue
        fields |= {
            node.target.id
            for node in found.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
        waiting += [base.id for base in found.bases if isinstance(base, ast.Name)]
    known = frozenset(fields | (_WRITTEN if tolerant or "auto_mapping" in fields else set()))
    return (known, tolerant) if {"r", "target_modules"} <= fields else (None, False)
