"""Hashes by which an adapter, a base model and its code are known again."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Iterable, Mapping

if TYPE_CHECKING:
    from torch import Tensor

EDGE_BYTES = (
    1 << 20
)  # of each weight file the first and the last MiB are read: a 13 GB base takes milliseconds
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth")
DESCRIPTION = (".json", ".model", ".jinja", ".py", ".txt")


def file_sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(EDGE_BYTES), b""):
            digest.update(block)
    return digest.hexdigest()


def adapter_sha256(tensors: "Mapping[str, Tensor]") -> str:
    """The hash of what an adapter says: names, dtypes, shapes and bytes, in the order of the names.

    Independent of the file format, so that memory, .safetensors and .bin can be compared.
    """
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        shape = "x".join(map(str, tensor.shape))
        digest.update(f"{name}\0{str(tensor.dtype).replace('torch.', '')}\0{shape}\0".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def base_fingerprint(folder: Path) -> str:
    """The hash of a model folder: its description whole; of each weight file name, size and both ends.

    A change inside a weight file that keeps its size and both ends goes unseen; that is the price of not reading
    gigabytes at each start.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or name.startswith("."):
            continue
        if path.suffix in WEIGHTS:
            digest.update(f"{name}\0{path.stat().st_size}\0{_edges(path)}\0".encode())
        elif path.suffix in DESCRIPTION:
            digest.update(f"{name}\0{file_sha256(path)}\0".encode())
    return digest.hexdigest()


def code_sha256(folder: Path) -> str:
    """The hash of a model folder's own Python files: what `model.revision` pins."""
    return _named(folder, sorted(folder.rglob("*.py")))


def _named(folder: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.relative_to(folder).as_posix()}\0{file_sha256(path)}\0".encode())
    return digest.hexdigest()


def _edges(path: Path) -> str:
    with path.open("rb") as stream:
        digest = hashlib.sha256(stream.read(EDGE_BYTES))
        stream.seek(max(0, path.stat().st_size - EDGE_BYTES))
        digest.update(stream.read(EDGE_BYTES))
    return digest.hexdigest()
