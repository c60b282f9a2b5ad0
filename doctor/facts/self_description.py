"""What a target interpreter says of itself: the child that asks it, and its answer.

Little is imported here, so that the question can be asked before the modules that will read the answer are loaded:
the child runs beside their imports.
"""

from ast import literal_eval
from threading import Thread
from typing import Any, Dict, List, Optional, Tuple

from envdoc.doctor.child import Completed, run
from envdoc.doctor.errors import EnvdocError

TIMEOUT_SECONDS = 10.0  # a Python on a cold network disk was seen to need several; a healthy one needs 0.02
_MARK = "envdoc-interpreter:"

# Python 3.4 syntax, so that an old interpreter is named and not met with a SyntaxError. ascii and not json, whose
# import costs more than all of the rest. Standard modules are imported, not looked for: a _ctypes.so whose libffi is
# gone is there and does not load.
DESCRIBE = """
import os, site, sys
def module(name):
    try:
        return __import__(name)
    except Exception:
        return None
def found(name):
    return any(f.find_spec(name, None) for f in sys.meta_path if hasattr(f, "find_spec"))
def excludes_user_site():  # site.venv() reads the same line
    try:
        with open(os.path.join(sys.prefix, "pyvenv.cfg"), "rb") as file:
            text = file.read().lower().replace(b" ", b"")
    except (IOError, OSError):
        return False
    return sys.prefix != sys.base_prefix and b"include-system-site-packages=true" not in text
ssl = module("_ssl")
modules = [("ssl", ssl), ("lzma", module("_lzma")), ("bz2", module("_bz2")), ("zlib", module("zlib")),
           ("sqlite3", module("_sqlite3")), ("ctypes", module("_ctypes")),
           ("ensurepip", found("ensurepip")), ("venv", found("venv"))]
uname = os.uname()
level = {"alpha": "a", "beta": "b", "candidate": "rc"}.get(sys.version_info[3])
print("envdoc-interpreter:" + ascii({
    "version": "%d.%d.%d" % sys.version_info[:3] + (level + str(sys.version_info[4]) if level else ""),
    "implementation": {"cpython": "CPython", "pypy": "PyPy"}.get(sys.implementation.name, sys.implementation.name),
    "prefix": sys.prefix, "base_prefix": sys.base_prefix,
    "is_conda": any(os.path.isdir(os.path.join(p, "conda-meta")) for p in (sys.prefix, sys.base_prefix)),
    "system": uname[0], "machine": uname[4], "sys_path": sys.path, "has_pip": found("pip"),
    "openssl_version": getattr(ssl, "OPENSSL_VERSION", ""),
    "missing_modules": [name for name, value in modules if not value],
    "user_site": site.getusersitepackages(), "excludes_user_site": excludes_user_site(),
}))
"""
SEARCH_PATH = """
import sys, site
print("envdoc-interpreter:" + ascii({
    "sys_path": sys.path, "user_site_enabled": bool(site.ENABLE_USER_SITE)}))
"""

Answer = Tuple[Optional[Dict[str, Any]], str]

_asked: Dict[str, "_Ahead"] = {}


def ask_ahead(python: str) -> None:
    """Put the first question to `python` now; `first_answer` takes what it says."""
    _asked[python] = _Ahead(python)


def first_answer(python: str) -> Answer:
    """What `python`, isolated, says of its build; asked now where nobody asked ahead."""
    ahead = _asked.pop(python, None)
    return ahead.answer() if ahead is not None else ask(python, ["-I", "-B"], DESCRIBE)


class _Ahead:
    """A question whose answer is waited for when it is wanted."""

    def __init__(self, python: str) -> None:
        self._said: Answer = (None, "")
        self._thread = Thread(target=self._ask, args=(python,), daemon=True)
        self._thread.start()

    def _ask(self, python: str) -> None:
        self._said = ask(python, ["-I", "-B"], DESCRIBE)

    def answer(self) -> Answer:
        """The answer; the child has a time limit, so this ends."""
        self._thread.join()
        return self._said


def ask(python: str, flags: List[str], script: str) -> Answer:
    """What the script printed, or None and the sentence that says why not."""
    try:
        completed = run([python, *flags, "-c", script], TIMEOUT_SECONDS)
    except EnvdocError as error:
        return None, error.message
    for line in reversed(completed.stdout.splitlines()):
        if line.startswith(_MARK):
            try:
                told: Dict[str, Any] = literal_eval(line[len(_MARK) :])
                return told, ""
            except (ValueError, SyntaxError):
                break
    return None, _why_silent(python, completed)


def _why_silent(python: str, completed: Completed) -> str:
    if completed.timed_out:
        return f"`{python}` did not answer within {TIMEOUT_SECONDS:.0f} s."
    if completed.signal_name:
        return f"`{python}` was killed by {completed.signal_name} before it could say what it is."
    if "Unknown option: -I" in completed.stderr:
        return f"`{python}` is a Python older than 3.4, which envdoc cannot examine."
    lines = [line.strip() for line in completed.stderr.splitlines() if line.strip()]
    fatal = [line for line in lines if "Fatal Python error" in line]
    if not fatal and any(line.startswith("Traceback") for line in lines):
        fatal = lines[-1:]  # where the exception itself stands
    said = f" It said: {(fatal or lines)[0][:200]}" if lines else ""
    if fatal:
        return f"`{python}` is a Python that does not start (exit status {completed.returncode}).{said}"
    return f"`{python}` does not behave like a Python (exit status {completed.returncode}).{said}"
