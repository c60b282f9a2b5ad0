"""uv, where it is there: many downloads at once, and files shared between generations by its cache."""

import os
import shutil
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from glob import escape
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Set, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.pip_settings import list_pip_settings_of_base
from envdoc.doctor.fix.installer import CHECK_SECONDS, STRICT, Installer
from envdoc.doctor.fix.pip_config import PipConfig, certificates_of, parse_pip_config, read_pip_config
from envdoc.doctor.fix.room import tree_bytes
from envdoc.doctor.tables.versions import numbers

_OLDEST = (0, 4, 23)  # UV_DEFAULT_INDEX and UV_INDEX


class UvInstaller(Installer):
    """The program `uv`, with pip's configuration translated."""

    name = "uv"
    streams = True

    def __init__(self, program: str) -> None:
        self.program = program
        self._config = PipConfig()
        self._cache: Optional[Path] = None
        self._known: Set[str] = set()
        self._spare: List[str] = []  # what leads uv to another cache
        self._told: Optional[Future[Optional[str]]] = None

    def look_ahead(self, base: Path) -> None:
        """Ask the pip of the base for its configuration: that takes as long as to make the environment."""
        one = ThreadPoolExecutor(1)
        self._told = one.submit(list_pip_settings_of_base, base)
        one.shutdown(wait=False)

    def prepare(self, python: Path, temporary: Path, wheelhouse: Optional[Path]) -> None:
        """Read pip's configuration, and see what the cache holds already."""
        self._config = PipConfig() if wheelhouse else self._read_config(python)
        self._cache = self._find_cache()
        self._known = {str(entry) for entry in self._entries()}

    def command(self, python: Path, lock: Path, wheelhouse: Optional[Path], again: bool) -> List[str]:
        """uv compares lengths and hashes before anything enters its cache, so that a second attempt is the same."""
        command = [self.program, "pip", "install", "--no-progress", "--python", str(python), *STRICT]
        places = ["--offline", "--no-index", "--find-links", str(wheelhouse)]
        return [
            *command,
            *self._spare,
            *(places if wheelhouse else self._config.uv_arguments()),
            "-r",
            str(lock),
        ]

    def offline(self) -> List[str]:
        """uv asks no network, and answers within a second where its cache lacks a file."""
        return ["--offline"]

    def without_cache(self, temporary: Path) -> bool:
        """uv holds its cache with a lock (ENOLCK on a network disk), and writes there first (read-only, another's)."""
        if self._spare:
            return False
        self._cache = temporary / "uv-cache"
        self._spare, self._known = ["--cache-dir", str(self._cache)], set()
        return True

    def unpacked(self) -> str:
        """uv's archives, by whose last names it has checked their hashes."""
        cache = self._cache or self._find_cache()
        return "" if cache is None else str(Path(escape(str(cache)), "archive-v*", "[!.]*"))

    def is_consistent(self, python: Path) -> Tuple[bool, str]:
        """`uv pip check`: whether everything fits together, and what uv says: in 30 ms instead of pip's second."""
        command = [self.program, "pip", "check", *self._spare, "--python", str(python)]
        done = run(command, CHECK_SECONDS)
        return done.ok, done.stderr or done.stdout

    def variables(self) -> Dict[str, str]:
        """pip's index, certificates and proxy as uv's variables.

        pip takes certificates from REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE too, which uv does not know.
        """
        told = self._config.uv_environment()
        bundle = certificates_of(self._config, os.environ)
        return {**told, "SSL_CERT_FILE": bundle} if bundle else told

    def total_bytes(self, download_bytes: int, venv_bytes: int) -> int:
        """uv unpacks while it downloads, into its cache, and links the files from there."""
        return venv_bytes

    def arrived(self, environment: Path, temporary: Path) -> int:
        """The entries that are new in uv's cache; what was there before need not arrive."""
        return sum(tree_bytes(entry) for entry in self._entries() if str(entry) not in self._known)

    def arriving(self, pid: int) -> Optional[int]:
        """What the kernel has counted (proc(5), io): a look at 25,000 files a second costs a tenth of uv's own time."""
        try:
            lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
            return next(int(line.split(":")[1]) for line in lines if line.startswith("wchar:"))
        except (OSError, ValueError, StopIteration):
            return None

    def _read_config(self, python: Path) -> PipConfig:
        told = self._told.result() if self._told is not None else None
        if told is not None:
            return parse_pip_config(told)
        # that pip is new: what it compiles is kept, here and for later generations
        return read_pip_config(python, {**os.environ, "PYTHONDONTWRITEBYTECODE": ""})

    def _find_cache(self) -> Optional[Path]:
        told = run([self.program, "cache", "dir"], 30.0)
        return Path(told.stdout.strip()) if told.ok and told.stdout.strip() else None

    def _entries(self) -> List[Path]:
        if self._cache is None:
            return []
        return [*self._cache.glob("archive-v*/*"), *self._cache.glob(".tmp*")]


def find_uv(environ: Optional[Mapping[str, str]] = None) -> Optional[UvInstaller]:
    """uv beside envdoc's own interpreter or on PATH, if it runs and is new enough; None otherwise."""
    values = os.environ if environ is None else environ
    for folder in (str(Path(sys.executable).parent), values.get("PATH", os.defpath)):
        program = shutil.which("uv", path=folder)
        if program is None:
            continue
        try:
            told = run([program, "--version"], 30.0)
        except EnvdocError:
            continue
        if told.ok and numbers(told.stdout.replace("uv ", "", 1)) >= _OLDEST:
            return UvInstaller(program)
    return None
