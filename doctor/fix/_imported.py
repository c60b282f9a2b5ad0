"""Which modules a compiled module imports when it is imported itself, by its bytecode: nothing is run.

Functions are not looked into, nor what stands under `if TYPE_CHECKING:`. An import that only happens elsewhere is not
found, and one that never happens may be: who asks compiles a module too few or too many. Python 3.8 to 3.14.
"""

import opcode
import sys
from types import CodeType
from typing import Any, Iterator, List, Tuple

_CODES = opcode.opmap
_EXTENDED, _CONSTANT, _IMPORT = _CODES["EXTENDED_ARG"], _CODES["LOAD_CONST"], _CODES["IMPORT_NAME"]
_SMALL_INTEGER = _CODES.get("LOAD_SMALL_INT", -1)  # Python 3.14
_NAME, _ATTRIBUTE = _CODES["LOAD_NAME"], _CODES["LOAD_ATTR"]
_UNLESS = frozenset(code for name, code in _CODES.items() if "JUMP" in name and "IF_FALSE" in name)
_ABSOLUTE = frozenset(opcode.hasjabs)
_UNIT_BYTES = 2 if sys.version_info >= (3, 10) else 1  # of the target of a jump
_ATTRIBUTE_SHIFT = 1 if sys.version_info >= (3, 12) else 0  # the lowest bit tells of a method


def imported(code: CodeType, package: str) -> List[str]:
    """Absolute names, in order, of what `code` of a module in `package` imports.

    Of `from a import b` these are `a` and `a.b`, which may be no module.
    """
    found: List[str] = []
    for level, names, module in _imports(code):
        base = package.split(".")[: len(package.split(".")) - level + 1] if level else []
        whole = ".".join([*base, *([module] if module else [])])
        found += [whole, *(f"{whole}.{name}" for name in names or () if name != "*")]
    return found


def _imports(code: CodeType) -> Iterator[Tuple[Any, Any, str]]:
    """(level, names, module) of every import; the two constants before it are the first two."""
    raw, names, constants = code.co_code, code.co_names, code.co_consts
    typing_only = names.index("TYPE_CHECKING") if "TYPE_CHECKING" in names else -1
    first = second = None
    at, argument, is_typing = 0, 0, False
    while at < len(raw):
        code_here, argument = raw[at], argument << 8 | raw[at + 1]
        at += 2
        if code_here == _EXTENDED:
            continue
        if code_here == _CONSTANT:
            first, second = second, constants[argument]
        elif code_here == _SMALL_INTEGER:
            first, second = second, argument
        elif code_here == _IMPORT:
            yield first, second, names[argument]
        elif code_here == _NAME:
            is_typing = argument == typing_only
        elif code_here == _ATTRIBUTE:
            is_typing = argument >> _ATTRIBUTE_SHIFT == typing_only
        elif is_typing and code_here in _UNLESS:
            is_typing = False
            at = argument * _UNIT_BYTES + (0 if code_here in _ABSOLUTE else at)
        argument = 0
