"""What a shell starts and where that looks: launchers on PATH, the target's own scripts, PYTHONPATH, sitecustomize."""

import os
import re
import shutil
from pathlib import Path
from typing import Dict, Iterator, List, Mapping, Optional, Sequence, Set, Tuple

from envdoc.doctor.facts.leaks import interpreter_of
from envdoc.doctor.facts.snapshot import Interpreter
from envdoc.doctor.facts.snapshot_shell import ForeignScripts, Launcher, PathEntry, Shell
from envdoc.doctor.files import read_text

# Programs that train, download or open a notebook, and run on the Python of their first line.
_LAUNCHERS = ("accelerate", "torchrun", "deepspeed", "hf", "huggingface-cli", "jupyter", "jupyter-lab")
_SCRIPT_LIMIT = 400  # an environment with Jupyter and everything beside it has some 150
_EXAMPLES = 4
_VERSIONED = re.compile(r"(?:^|/)(?:lib(?:64)?/)?python(\d\.\d+)(?:/|$)")
_EXTENSION = re.compile(r"^(?P<name>\w+)\.cpython-(?P<tag>\d{2,3})\w*-[\w-]+\.so$")
_LOOKED_AT = 2000  # files of one folder of PYTHONPATH
_ACTIVATE = re.compile(r"^(?:export )?VIRTUAL_ENV=(['\"]?)(.+?)\1$", re.MULTILINE)
_CUSTOMISATION = ("sitecustomize", "usercustomize")


def shell(told: Interpreter, environ: Mapping[str, str]) -> Shell:
    """The shell with these variables, seen from the target."""
    programs = Path(told.path).parent
    virtual = environ.get("VIRTUAL_ENV", "")
    return Shell(
        launchers=tuple(_launchers(environ.get("PATH", ""), programs)),
        foreign_scripts=_foreign_scripts(programs) if told.is_virtual_environment else (),
        activate_prefix=_activate_prefix(programs / "activate") if told.is_virtual_environment else "",
        virtual_env_exists=Path(virtual, "bin", "python").exists() if virtual else None,
        python_is_targets=_is_targets(("python", "python3"), environ.get("PATH", ""), programs),
        pip_is_targets=_is_targets(("pip",), environ.get("PATH", ""), programs),
        python_path=tuple(_python_path(environ.get("PYTHONPATH", ""), told)),
        customisation=tuple(_customisation(told)),
        start_error=told.search_path_error,
    )


def _is_targets(names: Sequence[str], path: str, programs: Path) -> Optional[bool]:
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    try:
        return Path(found).parent.samefile(programs) if found else None
    except OSError:
        return None


def _launchers(path: str, programs: Path) -> Iterator[Launcher]:
    for name in _LAUNCHERS:
        found = shutil.which(name, path=path)
        if not found:
            continue
        told = interpreter_of(Path(found))
        interpreter = (
            told if told.startswith("/") else ""
        )  # a relocatable script asks the shell for its own folder
        own = programs / name
        yield Launcher(
            name,
            found,
            interpreter,
            not interpreter or Path(interpreter).exists(),
            bool(_is_targets((name,), path, programs)),
            str(own) if os.access(own, os.X_OK) else "",
        )


def _foreign_scripts(programs: Path) -> Tuple[ForeignScripts, ...]:
    """Scripts of a virtual environment that another folder's interpreter runs: it was copied or moved."""
    try:
        entries = sorted(os.scandir(programs), key=lambda entry: entry.name)[:_SCRIPT_LIMIT]
    except OSError:
        return ()
    own = {str(programs), os.path.realpath(programs)}
    by_interpreter: Dict[str, List[str]] = {}
    for entry in entries:
        if entry.name.startswith(("python", "activate")) or not entry.is_file():
            continue
        interpreter = interpreter_of(Path(entry.path))
        folder = interpreter.rpartition("/")[0]
        if interpreter and not (folder in own or os.path.realpath(folder) in own):
            by_interpreter.setdefault(interpreter, []).append(entry.name)
    return tuple(
        ForeignScripts(interpreter, Path(interpreter).exists(), len(names), tuple(names[:_EXAMPLES]))
        for interpreter, names in by_interpreter.items()
        if interpreter.startswith("/")
    )


def _activate_prefix(path: Path) -> str:
    """The last plain assignment of VIRTUAL_ENV; newer ones ask cygpath first, and uv's may follow the script."""
    try:
        text = read_text(path, 1 << 14)
    except OSError:
        return ""
    found = [value for _, value in _ACTIVATE.findall(text.replace("\t", "").replace("    ", ""))]
    plain = [value for value in found if value.startswith("/")]
    return plain[-1] if plain else ""


def _python_path(value: str, told: Interpreter) -> Iterator[PathEntry]:
    short = ".".join(told.version.split(".")[:2])
    for entry in dict.fromkeys(value.split(os.pathsep)):
        if not entry:
            continue
        path = Path(entry)
        match = _VERSIONED.search(entry)
        named = match.group(1) if match and path.name in ("site-packages", "dist-packages") else ""
        other, compiled = _compiled(path, short) if short and entry in told.sys_path else ("", ())
        yield PathEntry(entry, path.exists(), (named if named != short else "") or other, compiled)


def _compiled(folder: Path, short: str) -> Tuple[str, Tuple[str, ...]]:
    """The other Python that compiled modules in the folder are for, and the packages that have no others."""
    here: Set[str] = set()
    others: Dict[str, str] = {}
    wanted = short.replace(".", "")
    for name, tag in _extensions(folder):
        if tag == wanted:
            here.add(name)
        else:
            others.setdefault(name, tag)
    lost = {name: tag for name, tag in others.items() if name not in here}
    if not lost:
        return "", ()
    tag = sorted(lost.values())[0]
    return f"{tag[0]}.{tag[1:]}", tuple(sorted(lost))


def _extensions(folder: Path) -> Iterator[Tuple[str, str]]:
    """(top import name, "38") of compiled modules in the folder and two levels below it."""
    left = _LOOKED_AT
    waiting: List[Tuple[Path, str, int]] = [(folder, "", 0)]
    while waiting and left > 0:
        here, top, depth = waiting.pop(0)
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError:
            continue
        left -= len(entries)
        for entry in entries:
            match = _EXTENSION.match(entry.name)
            if match:
                yield top or match.group("name"), match.group("tag")
            elif depth < 2 and entry.name.isidentifier() and entry.name != "__pycache__" and entry.is_dir():
                waiting.append((Path(entry.path), top or entry.name, depth + 1))


def _customisation(told: Interpreter) -> Iterator[str]:
    """The first sitecustomize and usercustomize on the search path, where they lie outside the target."""
    own = [folder for folder in (told.prefix, told.base_prefix) if folder not in ("", "/")]
    names: Sequence[str] = _CUSTOMISATION if told.user_site_enabled else _CUSTOMISATION[:1]
    for name in names:
        found = _module(told.sys_path, name)
        if found and not any(found.startswith(folder.rstrip("/") + "/") for folder in own):
            yield found


def _module(sys_path: Sequence[str], name: str) -> Optional[str]:
    for entry in sys_path:
        for path in (Path(entry, name, "__init__.py"), Path(entry, name + ".py")):
            if path.is_file():
                return str(path)
    return None
