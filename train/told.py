"""What lies beside an adapter about it: the receipt of a finished run, or the list that a checkpoint keeps of itself.

Free of torch, so that a folder is understood before anything slow is loaded.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from envdoc.train.errors import AdapterError

CONFIG_FILE = "adapter_config.json"
RECEIPT = "envdoc-receipt.json"
CHECKPOINT = "complete.json"
ADAPTER_FILE = "adapter_model.safetensors"


@dataclass(frozen=True)
class Told:
    """What was written down when the adapter was saved; None where the writer could not know it yet."""

    of: str  # "its receipt" or "its checkpoint"
    file_sha256: str
    fingerprint: str  # of the base
    dtype: Optional[str]
    run: Mapping[str, Any] = field(default_factory=dict)  # the run's settings as dotted keys
    sha256: Optional[str] = None  # of the tensors
    probe: List[int] = field(default_factory=list)
    witness: Optional[Mapping[str, Any]] = None  # witness.py; older receipts lack it

    @property
    def quantization(self) -> str:
        """The form of the base that it was trained on."""
        return str(self.run.get("model.quantization", "none"))


def find_adapter(folder: Path) -> Path:
    """The adapter that a folder means: itself, or of a run the finished adapter, else its newest checkpoint."""
    if (folder / CONFIG_FILE).exists():
        return folder
    if (folder / "adapter" / CONFIG_FILE).exists():
        return folder / "adapter"
    found = [path.parent for path in folder.glob(f"checkpoint-*/{CONFIG_FILE}")]
    numbered = [path for path in found if path.name.split("-")[1].isdigit()]
    return max(numbered, key=lambda path: int(path.name.split("-")[1]), default=folder)


def read_told(folder: Path) -> Optional[Told]:
    """What lies beside the adapter; None where nothing does. Raises AdapterError where it cannot be read."""
    path, read = folder / RECEIPT, _of_receipt
    if not path.is_file():
        path, read = folder / CHECKPOINT, _of_checkpoint
    if not path.is_file():
        return None
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AdapterError(
            f"`{path}` is no {'receipt' if path.name == RECEIPT else 'list'} that this envdoc reads: "
            f"{type(error).__name__} {error}.",
            "Remove it to judge the adapter without it.",
        ) from None


def _of_receipt(receipt: Dict[str, Any]) -> Told:
    adapter = receipt["adapter"]
    receipt["run"]["model.quantization"]
    return Told(
        of="its receipt",
        file_sha256=adapter["file_sha256"],
        fingerprint=receipt["base"]["fingerprint"],
        dtype=receipt["training"]["dtype"],
        run=receipt["run"],
        sha256=adapter["sha256"],
        probe=list(adapter.get("probe") or []),
        witness=adapter.get("witness"),
    )


def _of_checkpoint(complete: Dict[str, Any]) -> Told:
    run = complete["run"]
    return Told(
        of="its checkpoint",
        file_sha256=complete["files"][ADAPTER_FILE],
        fingerprint=run["the base model's fingerprint"],
        dtype=run.get("the dtype"),
        run=run,
    )
