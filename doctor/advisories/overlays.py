"""Old releases to lay over a base environment: one folder a wheel, pinned by hash, kept between runs.

pins.txt has one line a wheel, `name==version --hash=sha256:...`, and says so for every package that a proof names.
reproducers/companions.toml says what an old release needs beside it (transformers 4.28 needs its tokenizers), so that a
proof has to name only what it is about.
"""

import re
import shutil
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Dict, List, Mapping, Optional, Sequence, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.tables.versions import satisfies

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PIN = re.compile(r"([a-z0-9][a-z0-9.-]*)==([\w.!+-]+) --hash=sha256:([0-9a-f]{64})$")
INSTALL_LIMIT_SECONDS = 900.0

_LOCK = Lock()  # one installation at a time: pip and the disk are what is slow


def pins(folder: Path) -> Dict[str, str]:
    """ "peft==0.3.0" -> its line of pins.txt. Raises ValueError at a line that is neither a pin nor a comment."""
    path = folder / "pins.txt"
    found: Dict[str, str] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        match = PIN.match(line)
        if match:
            found[f"{match.group(1)}=={match.group(2)}"] = line
        elif line and not line.startswith("#"):
            raise ValueError(f"pins.txt: `{line}` is no `name==version --hash=sha256:...`.")
    return found


@lru_cache(maxsize=None)
def _companions(folder: Path) -> Tuple[Mapping[str, object], ...]:
    path = folder / "reproducers" / "companions.toml"
    return tuple(tomllib.loads(path.read_text(encoding="utf-8"))["companion"]) if path.exists() else ()


def with_companions(packages: Sequence[str], folder: Path) -> Tuple[str, ...]:
    """The packages of a proof, and behind them what their releases need; what the proof names itself stays as it is."""
    chosen = list(packages)
    for requirement in chosen:  # grows while it is read: a companion may have companions
        name, _, version = requirement.partition("==")
        for row in _companions(folder):
            if row["package"] == name and satisfies(version, str(row["versions"])) is True:
                named = {item.partition("==")[0] for item in chosen}
                needs = row["needs"]
                assert isinstance(needs, list)
                chosen += [item for item in needs if item.partition("==")[0] not in named]
    return tuple(chosen)


def overlay(python: Path, requirement: str, pinned: Mapping[str, str], cache: Path) -> Path:
    """The folder with that one wheel, installed there if it is not yet. Raises EnvdocError where that fails."""
    line = pinned.get(requirement)
    if line is None:
        raise EnvdocError(f"`{requirement}` is not in pins.txt.")
    folder = cache / "one" / requirement.replace("==", "-")
    with _LOCK:
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            _install(python, line, folder)
    return folder


def _install(python: Path, line: str, folder: Path) -> None:
    """Built beside its place and renamed, so that a folder that is there is whole."""
    building = Path(tempfile.mkdtemp(prefix=folder.name + "-", dir=folder.parent))
    try:
        requirements = building.with_suffix(".pin")
        requirements.write_text(line + "\n", encoding="utf-8")
        command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
        command += ["--only-binary", ":all:", "--target", str(building), "-r", str(requirements)]
        done = run(command, INSTALL_LIMIT_SECONDS)
        requirements.unlink()
        if not done.ok:
            raise EnvdocError(f"`{line.split()[0]}` could not be installed: {done.stderr.strip()[-400:]}")
        try:
            building.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster
                raise
    finally:
        shutil.rmtree(str(building), ignore_errors=True)


def version_over(name: str, packages: Sequence[str], base: Mapping[str, str]) -> Optional[str]:
    """The version that a run with these packages over that base sees: the first overlay's, else the base's."""
    versions: List[str] = [item.partition("==")[2] for item in packages if item.partition("==")[0] == name]
    return versions[0] if versions else base.get(name)
