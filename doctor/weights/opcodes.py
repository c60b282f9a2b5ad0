"""The opcodes of a pickle followed, with nothing called: a name is only a name.

Those that torch's tensors need are understood (torch, serialization.py), and all others are listed as `foreign`.
"""

import io
import pickletools
import struct
from typing import Any, Dict, List, NamedTuple, Tuple

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


class Pickled(NamedTuple):
    """One pickle, followed: the object, the names that it would import, where each text of it stands."""

    value: Any
    foreign: Tuple[str, ...]
    texts: Tuple[Tuple[int, str, str], ...]  # (place, opcode, text)
    storages: Tuple[Storage, ...]
    end: int


def follow(data: bytes) -> Pickled:
    """The object of a pickle, without calling anything. Raises ValueError where that cannot be told."""
    return follow_file(io.BytesIO(data))


def follow_file(file: Any) -> Pickled:
    """The same of the pickle that begins where the file stands, which is left behind its end."""
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
