"""The file of weights against what `envdoc train` wrote down beside it: needs neither torch nor the base model."""

import hashlib
import json
from pathlib import Path
from typing import List, Optional, Tuple

from envdoc.doctor.adapter.folder import CHECKPOINT, RECEIPT, SAFE, AdapterFolder
from envdoc.doctor.adapter.verdict import Check
from envdoc.doctor.files import open_file, read_bytes

MOST_BYTES = 1 << 28  # a receipt lists every loss: 100,000 updates take 3 MB


def check_receipt(folder: AdapterFolder) -> List[Check]:
    """One check where a receipt, or the list of a checkpoint, lies beside the file; none for adapters of others."""
    if folder.main is None or folder.main.path.name != SAFE:
        return []
    found = _expected(folder.path)
    if found is None:
        return []
    name, expected = found
    if not expected:
        return [Check("receipt", False, f"{name} beside it cannot be read", name)]
    try:
        seen = _sha256(folder.main.path)
    except OSError as error:
        return [Check("receipt", False, f"{SAFE} cannot be read: {error.strerror or error}", SAFE)]
    if seen == expected:
        return [Check("receipt", True, f"{SAFE} has the hash that {name} tells", SAFE)]
    return [Check("receipt", False, f"{SAFE} has the hash {seen}, and {name} tells {expected}", SAFE)]


def _expected(folder: Path) -> Optional[Tuple[str, str]]:
    """The file that tells the hash, and the hash, "" where it cannot be read."""
    for name, keys in ((RECEIPT, ("adapter", "file_sha256")), (CHECKPOINT, ("files", SAFE))):
        if not (folder / name).is_file():
            continue
        try:
            told = json.loads(read_bytes(folder / name, MOST_BYTES).decode("utf-8"))
            return name, str(told[keys[0]][keys[1]])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return name, ""
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path) as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
