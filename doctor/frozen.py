"""`@dataclass(frozen=True)` at half its cost.

The standard decorator writes and compiles six methods for every class. Eighty classes of facts cost a seventh of a
quick check that way, before it has looked at anything. Here comparing, hashing and printing are the same three
functions for all of them; what is left of the standard one is `__init__` and the guard against assignment.
"""

from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses

    def dataclass(frozen: bool) -> Callable[[type], type]:
        """As `dataclasses.dataclass(frozen=True)`: the same fields, equality, hash and text."""
        make = dataclasses.dataclass(frozen=frozen, eq=False, repr=False)

        def decorate(cls: type) -> type:
            cls = make(cls)
            cls.__eq__, cls.__hash__, cls.__repr__ = _equal, _hash, _text
            return cls

        return decorate


def _equal(self: Any, other: Any) -> bool:
    return self.__dict__ == other.__dict__ if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(tuple(self.__dict__.values()))


def _text(self: Any) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
    return f"{self.__class__.__qualname__}({fields})"


__all__ = ["dataclass"]
