"""Frozen dataclasses from JSON: the way back from `dataclasses.asdict`, strict about types."""

import dataclasses
from functools import lru_cache
from typing import Any, Callable, Dict, Tuple, Type, TypeVar, Union, get_type_hints

from envdoc.doctor.errors import SnapshotError

T = TypeVar("T")
# Where a value stands, as (the place around it, its name or number there): text is made of it only for a message.
_Place = Union[str, Tuple[Any, Union[str, int]]]
_Reader = Callable[[Any, _Place], Any]  # (what JSON gave, where it stands) -> the value of a field


def build(cls: Type[T], raw: Any, where: _Place) -> T:
    """The dataclass `cls` from parsed JSON; `where` names the place in the messages.

    Unknown keys are passed over. Raises SnapshotError on a field of the wrong type or one that is missing.
    """
    if not isinstance(raw, dict):
        raise SnapshotError(
            f"In the snapshot `{_told(where)}` must be an object, and is {type(raw).__name__}."
        )
    readers, defaults, required = _shape(cls)  # type: ignore[arg-type]
    values = defaults.copy()
    for name, value in raw.items():
        if name in readers:
            plain, read = readers[name]
            values[name] = value if type(value) is plain else read(value, (where, name))
    missing = [name for name in required if name not in raw]
    if missing:
        raise SnapshotError(f"In the snapshot `{_told(where)}` lacks a field: {missing[0]}.")
    made = object.__new__(cls)  # a frozen dataclass's own start takes three times as long
    made.__dict__.update(values)
    return made


def _told(place: _Place) -> str:
    """`snapshot.packages[3].name`"""
    if isinstance(place, str):
        return place
    around, name = place
    return f"{_told(around)}[{name}]" if isinstance(name, int) else f"{_told(around)}.{name}"


@lru_cache(maxsize=None)  # resolving the annotations costs more than reading a snapshot
def _shape(cls: Any) -> Tuple[Dict[str, Tuple[Any, _Reader]], Dict[str, Any], Tuple[str, ...]]:
    """Of each field the type whose values stand as they are, and what reads all others; every field's default, in
    their order; and the names of those that have none."""
    hints = get_type_hints(cls)
    fields = dataclasses.fields(cls)
    readers = {item.name: (hints[item.name], _reader(hints[item.name])) for item in fields}
    defaults = {item.name: _default(item) for item in fields}
    return readers, defaults, tuple(name for name, value in defaults.items() if value is dataclasses.MISSING)


def _default(item: "dataclasses.Field[Any]") -> Any:
    """One value for all instances: nothing in a snapshot is ever changed."""
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return item.default


def _reader(hint: Any) -> _Reader:
    """What reads a value of that type."""
    origin: Any = getattr(hint, "__origin__", None)
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", ())
    if origin is Union:  # Optional[X]
        inner = _reader(arguments[0])
        return lambda raw, where: None if raw is None else inner(raw, where)
    if dataclasses.is_dataclass(hint):
        return lambda raw, where: build(hint, raw, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is dict and arguments[1] is not Any:
        return _dict_reader(hint, arguments[1])
    if hint is Any:
        return lambda raw, where: raw
    expected: Any = {dict: dict, float: (int, float)}.get(origin or hint, hint)

    def read(raw: Any, where: _Place) -> Any:
        if not isinstance(raw, expected):
            raise SnapshotError(
                f"In the snapshot `{_told(where)}` must be {hint}, and is {type(raw).__name__}."
            )
        return raw

    return read


def _tuple_reader(arguments: Tuple[Any, ...]) -> _Reader:
    """What reads a list as Tuple[X, ...] or Tuple[X, Y]."""
    readers = [_reader(argument) for argument in arguments if argument is not Ellipsis]
    plain = arguments == (str, Ellipsis)

    def read(raw: Any, where: _Place) -> Any:
        if not isinstance(raw, list):
            raise SnapshotError(
                f"In the snapshot `{_told(where)}` must be a list, and is {type(raw).__name__}."
            )
        if plain and all(type(item) is str for item in raw):
            return tuple(raw)
        chosen = readers * len(raw) if arguments[-1] is Ellipsis else readers
        if len(chosen) != len(raw):
            raise SnapshotError(
                f"In the snapshot `{_told(where)}` must hold {len(chosen)} values, and holds {len(raw)}."
            )
        return tuple(one(item, (where, i)) for i, (one, item) in enumerate(zip(chosen, raw)))

    return read


def _dict_reader(hint: Any, value: Any) -> _Reader:
    """What reads an object as Dict[str, X]."""
    inner = _reader(value)

    def read(raw: Any, where: _Place) -> Any:
        if not isinstance(raw, dict):
            raise SnapshotError(
                f"In the snapshot `{_told(where)}` must be {hint}, and is {type(raw).__name__}."
            )
        return {key: inner(item, (where, key)) for key, item in raw.items()}

    return read
