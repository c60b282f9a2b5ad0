"""Folders of well-known import names that no distribution owns: Python imports them as empty namespaces."""

from pathlib import Path
from typing import List, Sequence, Set

# Whose folder without __init__.py is imported as an empty namespace, and found by those that only ask for a spec.
_IMPORT_NAMES = (
    "torch",
    "transformers",
    "peft",
    "accelerate",
    "bitsandbytes",
    "datasets",
    "tokenizers",
    "safetensors",
    "numpy",
    "triton",
    "flash_attn",
    "deepspeed",
    "xformers",
    "trl",
)


def folders_without_entry(folder: Path, names: Set[str], infos: Sequence[str]) -> List[str]:
    """Folders of well-known import names that no distribution here owns and that have no __init__.py."""
    owned = {info.split("-")[0].lower() for info in infos}
    return [
        str(folder / name)
        for name in _IMPORT_NAMES
        if name in names
        and name not in owned
        and (folder / name).is_dir()
        and not (folder / name / "__init__.py").exists()
    ]
