"""What torch.save wrote, read without running it: the opcodes of its pickle are followed (opcodes.py).

torch's zip holds `data.pkl` and a file of bytes a storage; before torch 1.6 it was five pickles and the storages behind
them (torch, serialization.py: `_save`, `_legacy_save`). A pickle may name any function; nothing is called.
"""

import io
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from envdoc.doctor.files import open_file
from envdoc.doctor.weights.archive import BLOCK_BYTES, WIDTHS, Archive, Tensor, pointer, product, read_range
from envdoc.doctor.weights.opcodes import View, follow, follow_file
from envdoc.doctor.weights.safetensors import LFS

MOST_PICKLE_BYTES = 1 << 27
MOST_GATHERED_BYTES = 1 << 30  # of a storage whose tensor is not laid out in order
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

# What reading a damaged zip or pickle raises.
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,  # a compression that Python does not know
    RuntimeError,  # an encrypted file; the archive was closed
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
)


class Place(NamedTuple):
    """Where the bytes of a storage lie in the file. `member` names a compressed file of the zip instead."""

    begin: int
    length: int
    member: str = ""


def read(path: Path) -> Archive:
    """The tensors that stand in a dictionary on top of a file of torch.save. What is wrong is told, not raised."""
    try:
        size = path.stat().st_size
        if pointer(path):
            return Archive(path, "pickle", size, problem=LFS)
        value, foreign, places = _opened(path)
    except UNREADABLE as error:
        return Archive(path, "pickle", _size(path), problem=f"it cannot be read: {str(error)[:120]}")
    if not isinstance(value, dict):
        told = "what it holds is no dictionary of tensors"
        return Archive(path, "pickle", size, problem=told, foreign=foreign)
    tensors, faults = {}, []
    for name, view in value.items():
        if not isinstance(view, View):
            continue
        tensor = _tensor(path, str(name), view, places.get(view.storage.key))
        if isinstance(tensor, str):
            faults.append(f"`{name}` {tensor}")
        else:
            tensors[str(name)] = tensor
    return Archive(path, "pickle", size, tensors, faults=tuple(faults), foreign=foreign)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _opened(path: Path) -> Tuple[Any, Tuple[str, ...], Dict[str, Place]]:
    """(object, foreign names, places of the storages). Raises ValueError, OSError, BadZipFile."""
    with open_file(path) as raw:
        start = raw.read(len(LEGACY_MAGIC))
        if start == LEGACY_MAGIC:
            raw.seek(0)
            return _legacy(io.BufferedReader(raw), path.stat().st_size)
        raw.seek(0)
        with zipfile.ZipFile(io.BufferedReader(raw)) as archive:
            name = pickle_name(archive)
            if archive.getinfo(name).file_size > MOST_PICKLE_BYTES:
                raise ValueError("its pickle is over 128 MB")
            found = follow(archive.read(name))
            return found.value, found.foreign, _places(archive, path, name[: -len("data.pkl")])


def pickle_name(archive: zipfile.ZipFile) -> str:
    """`adapter_model/data.pkl`. Raises ValueError where the zip is none of torch's."""
    names = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(names) != 1:
        raise ValueError("it is a zip, and none of torch.save")
    return names[0]


def _places(archive: zipfile.ZipFile, path: Path, folder: str) -> Dict[str, Place]:
    places = {}
    for info in archive.infolist():
        if not info.filename.startswith(folder + "data/"):
            continue
        key = info.filename[len(folder) + 5 :]
        if info.compress_type != zipfile.ZIP_STORED:
            places[key] = Place(0, info.file_size, info.filename)
            continue
        with open_file(path) as file:
            file.seek(info.header_offset + 26)
            lengths = file.read(4)
        names = int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")
        places[key] = Place(info.header_offset + 30 + names, info.file_size)
    return places


def _legacy(file: "io.BufferedReader", size: int) -> Tuple[Any, Tuple[str, ...], Dict[str, Place]]:
    """Magic, protocol, sizes, the object, the keys of its storages; then each storage behind its count of numbers."""
    for _ in range(3):
        follow_file(file)
    found = follow_file(file)
    keys = follow_file(file).value
    places, place = {}, file.tell()
    by_key = {storage.key: storage for storage in found.storages}
    for key in keys if isinstance(keys, list) else []:
        storage = by_key.get(str(key))
        if storage is None or not storage.dtype:
            raise ValueError("it holds a storage of a type that is not known")
        file.seek(place)
        length = int.from_bytes(file.read(8), "little", signed=True) * WIDTHS[storage.dtype]
        if length < 0:
            raise ValueError("a storage of it has no size")
        places[str(key)] = Place(place + 8, max(0, min(length, size - place - 8)))
        place += 8 + length
    return found.value, found.foreign, places


def _tensor(path: Path, name: str, view: View, place: Optional[Place]) -> Any:
    """The tensor, or what is wrong with it as text."""
    dtype = view.storage.dtype
    if not dtype:
        return "is of a type that is not known"
    if place is None:
        return "has no storage in the file"
    width = WIDTHS[dtype]
    shape, stride = view.shape, view.stride
    if any(size < 0 for size in shape) or len(stride) != len(shape) or view.offset < 0:
        return "has no shape"
    last = view.offset + sum((size - 1) * step for size, step in zip(shape, stride))
    if product(shape) and (last + 1) * width > place.length:
        return f"needs {(last + 1) * width:,} bytes, and its storage has {place.length:,}"
    if product(shape) * width > place.length:
        return "is larger than its storage, whose numbers it repeats"
    if _in_order(shape, stride):
        source = partial(_straight, path, place, view.offset * width, product(shape) * width)
    else:
        source = partial(_gathered, path, place, view, width)
    return Tensor(name, dtype, shape, source)


def _in_order(shape: Tuple[int, ...], stride: Tuple[int, ...]) -> bool:
    expected = 1
    for size, step in zip(reversed(shape), reversed(stride)):
        if size != 1 and step != expected:
            return False
        expected *= size
    return True


def _straight(path: Path, place: Place, begin: int, length: int) -> Iterator[bytes]:
    """The bytes of a storage from `begin` on. Raises OSError, also where a compressed one is damaged."""
    if not place.member:
        yield from read_range(path, place.begin + begin, length)
        return
    try:
        with open_file(path) as raw, zipfile.ZipFile(io.BufferedReader(raw)) as z, z.open(
            place.member
        ) as file:
            file.seek(begin)
            while length > 0:
                block = file.read(min(length, BLOCK_BYTES))
                if not block:
                    return
                yield block
                length -= len(block)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise OSError(f"`{place.member}` of it is damaged: {error}") from error


def _gathered(path: Path, place: Place, view: View, width: int) -> Iterator[bytes]:
    """A transposed or cut tensor, number by number in its own order. Raises ValueError where that would be too much."""
    if place.length > MOST_GATHERED_BYTES:
        raise ValueError("a transposed tensor of over 1 GB is not read")
    data = b"".join(_straight(path, place, 0, place.length))
    starts = [view.offset]
    for size, step in zip(view.shape, view.stride):
        starts = [start + step * i for start in starts for i in range(size)]
    yield b"".join(data[start * width : (start + 1) * width] for start in starts)
