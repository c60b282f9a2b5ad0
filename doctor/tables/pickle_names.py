"""Names whose import by a pickle is never an accident: what runs programs, opens files or imports further."""

from typing import Iterable, List

# Modules of the standard library; `nt` and `commands` are of other systems and of Python 2.
_MODULES = (
    "__builtin__",
    "builtins",
    "code",
    "commands",
    "ctypes",
    "importlib",
    "marshal",
    "nt",
    "os",
    "pickle",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "webbrowser",
)
_STARTS = tuple(f"{name}." for name in _MODULES)


def dangerous(names: Iterable[str]) -> List[str]:
    """Those of the dotted names that lie in such a module."""
    return [name for name in names if name.startswith(_STARTS)]
