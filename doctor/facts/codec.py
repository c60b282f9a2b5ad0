"""Frozen dataclasses from JSON: the way back from `dataclasses.asdict`, strict about types."""

import dataclasses
from typing import Any, Tuple, Type, TypeVar, Union, get_type_hints

from envdoc.doctor.errors import SnapshotError

T = TypeVar("T")


def build(cls: Type[T], raw: Any, where: str) -> T:
    """The dataclass `cls` from parsed JSON; `where` names the place in the messages.

    Unknown keys are passed over. Raises SnapshotError on a field of the wrong type or one that is missing.
    """
    if not isinstance(raw, dict):
        raise SnapshotError(f"In the snapshot `{where}` must be an object, and is {type(raw).__name__}.")
    hints = get_type_hints(cls)
    known = {item.name for item in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values = {name: _value(hints[name], raw[name], f"{where}.{name}") for name in raw if name in known}
    try:
        return cls(**values)
    except TypeError as error:
        raise SnapshotError(f"In the snapshot `{where}` lacks a field: {error}.") from error


def _value(hint: Any, raw: Any, where: str) -> Any:
    origin: Any = getattr(hint, "__origin__", None)
    arguments: Tuple[Any, ...] = getattr(hint, "__args__", ())
    if origin is Union:  # Optional[X]
        return None if raw is None else _value(arguments[0], raw, where)
    if dataclasses.is_dataclass(hint):
        return build(hint, raw, where)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(raw, list):
            raise SnapshotError(f"In the snapshot `{where}` must be a list, and is {type(raw).__name__}.")
        kinds = [arguments[0]] * len(raw) if arguments[-1] is Ellipsis else list(arguments)
        if len(kinds) != len(raw):
            raise SnapshotError(
                f"In the snapshot `{where}` must hold {len(kinds)} values, and holds {len(raw)}."
            )
        return tuple(_value(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(zip(kinds, raw)))
    if origin is dict and isinstance(raw, dict) and arguments and arguments[1] is not Any:
        return {key: _value(arguments[1], item, f"{where}.{key}") for key, item in raw.items()}
    expected: Any = {dict: dict, float: (int, float)}.get(origin or hint, hint)
    if hint is not Any and not isinstance(raw, expected):
        raise SnapshotError(f"In the snapshot `{where}` must be {hint}, and is {type(raw).__name__}.")
    return raw
