"""What torch.save wrote, read without running it: the opcodes of its pickle are followed, and nothing is called.

torch's zip holds `data.pkl` and a file of bytes a storage; before torch 1.6 it was five pickles and the storages behind
them (torch, serialization.py: `_save`, `_legacy_save`). A pickle may name any function of any module. Here a name is
only a name: those that tensors need are understood, and all others are listed as `foreign`.
"""

import io
import pickletools
import struct
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from envdoc.doctor.files import open_file
from envdoc.doctor.weights.archive import BLOCK_BYTES, WIDTHS, Archive, Tensor, pointer, product, read_range
from envdoc.doctor.weights.safetensors import LFS

MOST_PICKLE_BYTES = 1 << 27
MOST_GATHERED_BYTES = 1 << 30  # of a storage whose tensor is not laid out in order
LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
_REBUILD = ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor")
_PARAMETER = ("torch._utils._rebuild_parameter", "torch.nn.parameter.Parameter")
_PLAIN = {
    *_REBUILD,
    *_PARAMETER,
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch.storage.UntypedStorage",
    "torch.storage.TypedStorage",
    *(f"torch.{name}" for name in STORAGES),
}


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


class Storage(NamedTuple):
    """A storage by its key; `dtype` is "" where its type is none that is known."""

    dtype: str
    key: str


class View(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: Storage
    offset: int
    shape: Tuple[int, ...]
    stride: Tuple[int, ...]


class Place(NamedTuple):
    """Where the bytes of a storage lie in the file. `member` names a compressed file of the zip instead."""

    begin: int
    length: int
    member: str = ""


class Pickled(NamedTuple):
    """One pickle, followed: the object, the names that it would import, where each text of it stands."""

    value: Any
    foreign: Tuple[str, ...]
    texts: Tuple[Tuple[int, str, str], ...]  # (place, opcode, text)
    storages: Tuple[Storage, ...]
    end: int


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
        _follow(file)
    found = _follow(file)
    keys = _follow(file).value
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


def follow(data: bytes) -> Pickled:
    """The object of a pickle, without calling anything. Raises ValueError where that cannot be told."""
    return _follow(io.BytesIO(data))


def _follow(file: Any) -> Pickled:
    machine = _Machine()
    start = file.tell()
    try:
        for opcode, argument, place in pickletools.genops(file):
            machine.step(opcode.name, argument, (place or 0) - start)
    except (LookupError, TypeError, AttributeError, OverflowError, struct.error, EOFError) as error:
        raise ValueError(f"its pickle cannot be followed ({type(error).__name__})") from error
    return Pickled(
        machine.stack[-1] if machine.stack else None,
        tuple(dict.fromkeys(name for name in machine.names if name not in _PLAIN and not _is_dtype(name))),
        tuple(machine.texts),
        tuple(machine.storages),
        file.tell(),
    )


def _is_dtype(name: str) -> bool:
    return name in ("torch.float32", "torch.float16", "torch.bfloat16", "torch.float64", "torch.int64")


class _Global(NamedTuple):
    name: str


class _Unknown:
    """What a call that is not made would have returned."""


_MARK = object()
_TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
_VALUES = {
    *_TEXTS,
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "INT",
    "BININT",
    "BININT1",
    "BININT2",
    "LONG",
    "LONG1",
    "LONG4",
    "FLOAT",
    "BINFLOAT",
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Machine:
    """The stack and the memo of a pickle. REDUCE, BUILD and their kin call nothing."""

    def __init__(self) -> None:
        self.stack: List[Any] = []
        self.memo: Dict[int, Any] = {}
        self.names: List[str] = []
        self.texts: List[Tuple[int, str, str]] = []
        self.storages: List[Storage] = []

    def step(self, name: str, argument: Any, place: int) -> None:
        """One opcode. Raises ValueError on one that torch.save never writes."""
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
            if name in _TEXTS:
                self.texts.append((place, name, argument))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME", "STOP"):
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "PUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET", "GET"):
            stack.append(self.memo[int(argument)])
        elif name == "GLOBAL":
            self._named(argument.replace(" ", ".", 1))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            self._named(f"{module}.{attribute}")
        elif name == "INST":
            self._names_only(argument)
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("BINPERSID", "PERSID"):
            stack.append(self._storage(stack.pop() if name == "BINPERSID" else argument))
        else:
            self._structure(name)

    def _structure(self, name: str) -> None:
        stack = self.stack
        if name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name == "EMPTY_TUPLE":
            stack.append(())
        elif name == "EMPTY_SET":
            stack.append(_Unknown())
        elif name == "TUPLE":
            stack.append(tuple(self._marked()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            items = tuple(stack[-count:])
            del stack[-count:]
            stack.append(items)
        elif name in ("LIST", "DICT", "FROZENSET"):
            items_ = self._marked()
            stack.append(items_ if name == "LIST" else _pairs(items_) if name == "DICT" else _Unknown())
        elif name == "APPEND":
            item = stack.pop()
            _extend(stack[-1], [item])
        elif name in ("APPENDS", "ADDITEMS"):
            items_ = self._marked()
            _extend(stack[-1], items_)
        elif name == "SETITEM":
            value, key = stack.pop(), stack.pop()
            _update(stack[-1], [key, value])
        elif name == "SETITEMS":
            items_ = self._marked()
            _update(stack[-1], items_)
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif name == "NEWOBJ_EX":
            del stack[-3:]
            stack.append(_Unknown())
        elif name == "OBJ":
            self._marked()
            stack.append(_Unknown())
        elif name == "BUILD":
            stack.pop()
        elif name in ("POP", "POP_MARK"):
            if name == "POP":
                stack.pop()
            else:
                self._marked()
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            raise ValueError(f"its pickle has the opcode {name}, which torch.save never writes")

    def _named(self, name: str) -> None:
        self.names.append(name)
        self.stack.append(_Global(name))

    def _names_only(self, argument: str) -> None:
        self._marked()
        self.names.append(argument.replace(" ", ".", 1))
        self.stack.append(_Unknown())

    def _marked(self) -> List[Any]:
        """What lies above the last mark, taken off."""
        place = len(self.stack) - 1
        while self.stack[place] is not _MARK:
            place -= 1
            if place < 0:
                raise ValueError("its pickle takes more than it has")
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def _storage(self, told: Any) -> Any:
        """("storage", type, key, device, count): what torch's persistent_id writes."""
        if not isinstance(told, tuple) or len(told) < 5 or told[0] != "storage":
            return _Unknown()
        kind = told[1].name if isinstance(told[1], _Global) else ""
        found = Storage(STORAGES.get(kind.rpartition(".")[2], ""), str(told[2]))
        self.storages.append(found)
        return found


def _called(function: Any, arguments: Any) -> Any:
    """What the call would give, where it is one of the few that tensors need."""
    name = function.name if isinstance(function, _Global) else ""
    if name == "collections.OrderedDict":
        return _pairs([x for pair in arguments[0] for x in pair]) if arguments else {}
    if name in _PARAMETER and arguments:
        return arguments[0]
    if name in _REBUILD and len(arguments) >= 4 and isinstance(arguments[0], Storage):
        storage, offset, shape, stride = arguments[:4]
        return View(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))
    return _Unknown()


def _pairs(items: List[Any]) -> Dict[Any, Any]:
    found: Dict[Any, Any] = {}
    _update(found, items)
    return found


def _update(target: Any, items: List[Any]) -> None:
    if isinstance(target, dict):
        for key, value in zip(items[::2], items[1::2]):
            target[key if isinstance(key, (str, int, float, bool, type(None))) else repr(key)[:80]] = value


def _extend(target: Any, items: List[Any]) -> None:
    if isinstance(target, list):
        target += items
