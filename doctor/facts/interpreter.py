"""The target interpreter as it describes itself in a child.

The child is isolated (`-I`) and tells what the build is, whatever PYTHONPATH holds. Where a training script would see
another search path (PYTHONPATH is set, or the user's own site-packages may be on it), a second child that is not
isolated tells that path.
"""

import dataclasses
import os
from ast import literal_eval
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from envdoc.doctor.child import Completed, run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import Interpreter

TIMEOUT_SECONDS = 10.0  # a Python on a cold network disk was seen to need several; a healthy one needs 0.02
_MARK = "envdoc-interpreter:"
_PATH_VARIABLES = ("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR")

# Python 3.4 syntax, so that an old interpreter is named and not met with a SyntaxError. ascii and not json, whose
# import costs more than all of the rest. Standard modules are imported, not looked for: a _ctypes.so whose libffi is
# gone is there and does not load.
_DESCRIBE = """
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
_SEARCH_PATH = """
import sys, site
print("envdoc-interpreter:" + ascii({
    "sys_path": sys.path, "user_site_enabled": bool(site.ENABLE_USER_SITE)}))
"""


def describe(python: str) -> Interpreter:
    """Ask `python` what it is.

    A file that is missing, no Python, not executable, crashes or hangs gives an Interpreter with `error`: one
    sentence that says what was tried and what came back. Never raises for what the interpreter does.
    """
    obstacle = _obstacle(Path(python))
    if obstacle:
        return Interpreter(path=python, error=obstacle)
    told, error = _ask(python, ["-I", "-B"], _DESCRIBE)
    if told is None:
        return Interpreter(path=python, error=error)
    real: Optional[Dict[str, Any]] = None
    problem = ""
    if not told["excludes_user_site"] or any(os.environ.get(name) for name in _PATH_VARIABLES):
        real, problem = _ask(python, ["-B"], _SEARCH_PATH)  # None where PYTHONPATH breaks even `import site`
    return dataclasses.replace(_interpreter(python, told, real or {}), search_path_error=problem)


def _interpreter(python: str, told: Dict[str, Any], real: Dict[str, Any]) -> Interpreter:
    isolated_path = _folders(told["sys_path"])
    return Interpreter(
        path=python,
        version=told["version"],
        implementation=told["implementation"],
        prefix=told["prefix"],
        base_prefix=told["base_prefix"],
        is_virtual_environment=told["prefix"] != told["base_prefix"],
        is_conda=told["is_conda"],
        system=told["system"],
        machine=told["machine"],
        site_packages=tuple(p for p in isolated_path if Path(p).name in ("site-packages", "dist-packages")),
        sys_path=_folders(real["sys_path"]) if real else isolated_path,
        user_site_enabled=real.get("user_site_enabled", False),
        user_site=told["user_site"] or "",
        has_pip=told["has_pip"],
        openssl_version=told["openssl_version"],
        missing_modules=tuple(told["missing_modules"]),
    )


def _folders(sys_path: List[str]) -> Tuple[str, ...]:
    """Absolute entries in their order; the first entry of `-c`, the working folder, is none of the environment."""
    return tuple(dict.fromkeys(str(Path(entry).absolute()) for entry in sys_path if entry))


def _obstacle(path: Path) -> str:
    try:
        if path.is_dir():
            return f"`{path}` is a folder, not an interpreter."
        if not path.exists():
            if path.is_symlink():
                return f"`{path}` is a link to `{os.readlink(path)}`, which is not there."
            return f"There is no interpreter at `{path}`."
        if not os.access(path, os.X_OK):
            return f"`{path}` is not executable by this user."
    except OSError as error:
        return f"`{path}` cannot be looked at: {error.strerror}."
    return ""


def _ask(python: str, flags: List[str], script: str) -> Tuple[Optional[Dict[str, Any]], str]:
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
