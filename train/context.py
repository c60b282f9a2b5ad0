"""What the doctor tells the pipeline about the machine and the environment, for the receipt."""

import json
from pathlib import Path
from typing import Any, Dict, Optional


def read_context(path: Optional[str]) -> Dict[str, Any]:
    """{"envdoc_version", "facts", "lockfile": {"profile", "sha256"}}; {} without a file. Raises OSError, ValueError."""
    if path is None:
        return {}
    told = json.loads(Path(path).read_text(encoding="utf-8"))
    if not isinstance(told, dict):
        raise ValueError("it holds no object")
    return told
