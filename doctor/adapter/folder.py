"""What lies in the folder of an adapter, read once."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.files import read_bytes
from envdoc.doctor.weights import pickled, safetensors
from envdoc.doctor.weights.archive import Archive

CONFIG = "adapter_config.json"
SAFE, OLD = "adapter_model.safetensors", "adapter_model.bin"
MLX = "adapters.safetensors"
RECEIPT = "envdoc-receipt.json"
CHECKPOINT = "complete.json"  # what a checkpoint of `envdoc train` lists itself in
ADAPTER_FILES = (SAFE, OLD, MLX)
WHOLE = re.compile(r"(?:pytorch_model|model)(?:-\d{5}-of-\d{5})?\.(?:bin|safetensors)")
MOST_CONFIG_BYTES = 1 << 22


@dataclass(frozen=True)
class AdapterFolder:
    """The files of one folder. `config` is None where there is none, or none that can be read."""

    path: Path
    config: Optional[Dict[str, Any]] = None
    config_problem: str = ""
    archives: Tuple[Archive, ...] = ()
    times: Dict[str, float] = field(default_factory=dict)  # file -> when it was last written
    whole_models: Tuple[str, ...] = ()  # pytorch_model.bin and its like
    checkpoints: Tuple[Path, ...] = ()  # checkpoint-N below it
    trainer_state: bool = False

    @property
    def main(self) -> Optional[Archive]:
        """The file that is loaded: peft from 0.3.1 on prefers safetensors."""
        return self.archives[0] if self.archives else None

    @property
    def origin(self) -> str:
        """Who wrote it, as far as its files tell: "MLX", "Unsloth", "LLaMA-Factory", "envdoc" or "peft"."""
        config = self.config or {}
        if any(archive.path.name == MLX for archive in self.archives) or "lora_parameters" in config:
            return "MLX"
        if (self.path / RECEIPT).is_file():
            return "envdoc train"
        text = _start(self.path / "README.md").lower()
        for word, name in (
            ("unsloth", "Unsloth"),
            ("axolotl", "Axolotl"),
            ("llama-factory", "LLaMA-Factory"),
        ):
            if word in text:
                return name
        if "enable_lora" in config or "merge_weights" in config:
            return "peft below 0.3"
        return "peft" if self.config is not None else ""


def of_run(path: Path) -> Path:
    """The adapter that the folder of a run of `envdoc train` means: the finished one, else its newest checkpoint.

    Any other folder is what it is: checkpoints that somebody else's Trainer left are judged as such.
    """
    if (path / CONFIG).exists():
        return path
    if (path / "adapter" / CONFIG).is_file():
        return path / "adapter"
    found = [file.parent for file in path.glob(f"checkpoint-*/{CHECKPOINT}")]
    numbered = [folder for folder in found if re.fullmatch(r"checkpoint-\d+", folder.name)]
    return max(numbered, key=lambda folder: int(folder.name.rpartition("-")[2]), default=path)


def read_folder(path: Path) -> AdapterFolder:
    """The adapter in that folder. Raises EnvdocError where the folder cannot be listed."""
    try:
        names = sorted(entry.name for entry in path.iterdir())
    except OSError as error:
        raise EnvdocError(f"The folder `{path}` cannot be read: {error.strerror or error}.") from error
    config, problem = _config(path / CONFIG) if CONFIG in names else (None, "")
    files = [name for name in ADAPTER_FILES if name in names]
    times = {}
    for name in names:
        try:
            times[name] = (path / name).stat().st_mtime
        except OSError:  # a link to nothing
            continue
    checkpoints = [name for name in names if re.fullmatch(r"checkpoint-\d+", name) and (path / name).is_dir()]
    checkpoints.sort(key=lambda name: int(name.rpartition("-")[2]))
    return AdapterFolder(
        path,
        config,
        problem,
        tuple(read_archive(path / name) for name in files),
        times,
        tuple(name for name in names if WHOLE.fullmatch(name)),
        tuple(path / name for name in checkpoints),
        "trainer_state.json" in names,
    )


def read_archive(path: Path) -> Archive:
    """The tensors of a file, by its ending."""
    return safetensors.read(path) if path.suffix == ".safetensors" else pickled.read(path)


def is_adapter(folder: AdapterFolder) -> bool:
    """Whether anything there says that it is an adapter, or should have been one."""
    return bool(
        folder.config is not None
        or folder.config_problem
        or folder.archives
        or folder.checkpoints
        or (folder.trainer_state and folder.whole_models)
    )


def _config(path: Path) -> Tuple[Optional[Dict[str, Any]], str]:
    try:
        value = json.loads(read_bytes(path, MOST_CONFIG_BYTES).decode("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return None, str(error)[:120]
    return (value, "") if isinstance(value, dict) else (None, "it is no JSON object")


def _start(path: Path) -> str:
    try:
        return read_bytes(path, 20_000).decode("utf-8", "replace")
    except OSError:
        return ""


def names_of(archives: Tuple[Archive, ...]) -> List[str]:
    """The names of all tensors, sorted."""
    return sorted({name for archive in archives for name in archive.tensors})
