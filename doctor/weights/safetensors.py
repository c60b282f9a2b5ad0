"""Safetensors without the library: eight bytes of length, a JSON header, and the numbers one after another.

The rules are those of the format's own description (huggingface/safetensors, README.md, and its tensor.rs): a header of
at most 100 MB that starts with `{`, offsets that begin at 0, leave no hole and end with the file.
"""

import json
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from envdoc.doctor.files import open_file
from envdoc.doctor.weights.archive import BITS, WIDTHS, Archive, Tensor, pointer, product, read_range

MOST_HEADER_BYTES = 100_000_000


def read(path: Path) -> Archive:
    """The tensors of a safetensors file by its header alone. Whatever is wrong with the file is told, not raised."""
    try:
        size = path.stat().st_size
        with open_file(path) as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8:
                return Archive(
                    path, "safetensors", size, problem=f"it is {size} bytes long, and no safetensors"
                )
            if pointer(path):
                return Archive(path, "safetensors", size, problem=LFS)
            if length > MOST_HEADER_BYTES:
                return Archive(
                    path, "safetensors", size, problem=f"its header would be {length:,} bytes long"
                )
            if 8 + length > size:
                told = f"its header alone is {length:,} bytes long, and the file ends after {size:,}"
                return Archive(path, "safetensors", size, problem=told)
            text = b""
            while len(text) < length:
                block = file.read(length - len(text))
                if not block:
                    break
                text += block
    except OSError as error:
        return Archive(path, "safetensors", problem=f"it cannot be read: {error.strerror or error}")
    header = _header(text)
    if isinstance(header, str):
        return Archive(path, "safetensors", size, problem=header)
    return _archive(path, size, 8 + length, header)


LFS = "it is a pointer of Git LFS, not the file itself: `git lfs pull` fetches that"


def _header(text: bytes) -> Any:
    """The header as a dict, or what is wrong with it as text."""
    if not text.startswith(b"{"):
        return "its header is not JSON"
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        return f"its header is not JSON: {str(error)[:80]}"
    return header if isinstance(header, dict) else "its header is no JSON object"


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _archive(path: Path, size: int, start: int, header: Mapping[str, Any]) -> Archive:
    metadata = header.get("__metadata__")
    tensors: Dict[str, Tensor] = {}
    faults: List[str] = []
    spans: List[Tuple[int, int, str]] = []
    for name, told in header.items():
        if name == "__metadata__":
            continue
        entry = _entry(told)
        if isinstance(entry, str):
            faults.append(f"`{name}` {entry}")
            continue
        dtype, shape, begin, end = entry
        spans.append((begin, end, name))
        if dtype not in WIDTHS and dtype not in BITS:
            faults.append(f"`{name}` has a dtype that no safetensors has: {dtype[:20]}")
            continue
        source = partial(read_range, path, start + begin, end - begin)
        tensor = Tensor(name, dtype, shape, source)
        if tensor.bytes != end - begin:
            faults.append(f"`{name}` takes {tensor.bytes:,} bytes by its shape and has {end - begin:,}")
        tensors[name] = tensor
    faults += _layout(spans, size - start)
    kept = {str(k): str(v) for k, v in metadata.items()} if isinstance(metadata, dict) else {}
    return Archive(path, "safetensors", size, tensors, kept, faults=tuple(faults))


def _entry(told: Any) -> Any:
    """(dtype, shape, begin, end) of a tensor, or what is wrong with it as text."""
    if not isinstance(told, dict):
        return "has no description"
    dtype, shape, offsets = told.get("dtype"), told.get("shape"), told.get("data_offsets")
    if not isinstance(dtype, str) or not isinstance(shape, list) or not all(_is_size(n) for n in shape):
        return "has no dtype or no shape"
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_size(n) for n in offsets):
        return "has no data_offsets"
    begin, end = offsets
    return (dtype, tuple(shape), begin, end) if begin <= end else f"ends before it begins ({begin}, {end})"


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _layout(spans: List[Tuple[int, int, str]], data_bytes: int) -> List[str]:
    """What is wrong with the places of the tensors: holes, overlaps, an end that is not the file's."""
    faults: List[str] = []
    place = 0
    for begin, end, name in sorted(spans):
        if begin != place:
            faults.append(f"`{name}` begins at {begin:,}, and the one before it ends at {place:,}")
            break
        place = end
    last = max((end for _, end, _ in spans), default=0)
    if last > data_bytes:
        faults.insert(
            0, f"its tensors end at {last:,} and the file at {data_bytes:,}: {last - data_bytes:,} bytes lack"
        )
    elif last < data_bytes:
        faults.append(f"{data_bytes - last:,} bytes lie behind its last tensor")
    return faults


def write(
    path: Path,
    tensors: Iterable[Tuple[str, Tensor]],
    metadata: Optional[Mapping[str, str]] = None,
) -> None:
    """Write (name, tensor) pairs as a safetensors file, whole or not at all; a block is held at a time.

    Names are sorted within falling width of the numbers, as the library writes them. Raises OSError, and ValueError
    where a tensor gives fewer bytes than its shape tells.
    """
    ordered = sorted(tensors, key=lambda pair: (-WIDTHS.get(pair[1].dtype, 1), pair[0]))
    header: Dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    place = 0
    for name, tensor in ordered:
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [place, place + tensor.bytes],
        }
        place += tensor.bytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % 8)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for name, tensor in ordered:
                written = sum(file.write(block) for block in tensor.read())
                if written != tensor.bytes:
                    raise ValueError(f"`{name}` gave {written:,} bytes of {tensor.bytes:,}")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise


__all__ = ["LFS", "product", "read", "write"]
