"""How a lock's wheels get into an environment: streamed by uv, or downloaded resumably first and then installed.

uv is the fastest where the link is, and throws a half wheel away; pip keeps nothing of a broken run either. So:

the same lock was installed before ──> uv links it from its cache, or else as below (again.py)
wheelhouse given ──> installed from it, no network
pip              ──> envdoc's own downloader, then pip from the folder
uv, link fast    ──> uv streams
uv, link slow    ──> what uv's cache holds is enough? else the own downloader, then uv from the folder
uv, not measured ──> uv streams and is watched: too slow over the first seconds ──> the own downloader goes on
uv failed        ──> the own downloader goes on: it resumes, goes by file names and hashes alone, and knows sizes

To stream and watch is more honest than to measure first: a second of one file says little of many at once, and on a
fast link nothing is lost. On a slow one the first seconds' bytes are.
"""

import os
import shutil
import time
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from envdoc.doctor.errors import EnvdocError, FixError
from envdoc.doctor.facts.pip_settings import pip_defaults
from envdoc.doctor.fix import rate
from envdoc.doctor.fix.download import download
from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.installer import (
    WATCH_SECONDS,
    Installer,
    Report,
    SlowLink,
    install,
)
from envdoc.doctor.fix.pins import Machine, Pin, read_pins
from envdoc.doctor.fix.pip_config import certificates_of, read_pip_config
from envdoc.doctor.fix.progress import Progress
from envdoc.doctor.fix.pylock import known_files
from envdoc.doctor.fix.room import tree_bytes
from envdoc.doctor.fix.simple_index import SimpleIndex, Wanted
from envdoc.doctor.fix.uv_config import filled_by_uv
from envdoc.doctor.fix.web import Web, system_has_certificates

SLOW_BYTES_PER_SECOND = 20e6  # below it a broken wheel of torch (500 MB) costs more than 25 s to fetch again
WORTH_SECONDS = 60.0  # a rest that ends sooner than this is left to uv
_TELLING_BYTES = 200e6  # of a stream of uv's: in less, unpacking and linking are most of the time
_LEAST_BYTES = 5_000_000  # of a download of our own: less says more about latency than about the link
_WHEELS = "wheels"


def wheels_folder(home: Path) -> Path:
    """Where wheels and parts of an unfinished installation lie."""
    return home / _WHEELS


def kept_bytes(home: Path) -> int:
    """What an interrupted download has left to be resumed."""
    return tree_bytes(wheels_folder(home))


def clear(home: Path) -> int:
    """Remove what downloads left, after a switch or by `gc`; the bytes that became free."""
    freed = kept_bytes(home)
    shutil.rmtree(str(wheels_folder(home)), ignore_errors=True)
    return freed


def deliver(
    installer: Installer,
    environment: Path,
    lock: Path,
    temporary: Path,
    log: Path,
    total_bytes: int,
    report: Report,
    home: Path,
    machine: Machine,
    wheelhouse: Optional[Path] = None,
    download_bytes: int = 0,
    sizes_from: Optional[Path] = None,
) -> None:
    """Install every pin of `lock` into the environment by the way that suits the network; raises Failure.

    `total_bytes` is what the installer's `arrived` comes to. `sizes_from` is the lock whose pylock tells sizes,
    where `lock` itself is a part of it.
    """

    def install_from(folder: Path) -> None:
        here = (
            total_bytes if installer.streams else max(0, total_bytes - download_bytes)
        )  # pip unpacks from there
        install(installer, environment, lock, temporary, log, here, report, folder)

    if wheelhouse is not None:
        install_from(wheelhouse)
        return
    if installer.streams:
        measured = rate.known(home)
        is_slow = measured is not None and measured.bytes_per_second < SLOW_BYTES_PER_SECOND
        if is_slow and from_cache(installer, environment, lock, temporary, log, report):
            return
        if not is_slow:
            try:
                started = time.monotonic()
                before = installer.arrived(environment, temporary)
                ratio = download_bytes / total_bytes if total_bytes else 0.0
                install(
                    installer, environment, lock, temporary, log, total_bytes, report,
                    too_slow=_watcher(download_bytes, ratio), attempts=1,
                )  # fmt: skip
                arrived = (installer.arrived(environment, temporary) - before) * ratio
                if arrived >= _TELLING_BYTES:
                    rate.remember(home, int(arrived), time.monotonic() - started)
                return
            except SlowLink as slow:
                measured_rate = slow.bytes_per_second * ratio
                rate.remember(home, int(measured_rate * WATCH_SECONDS), WATCH_SECONDS)
                report(
                    f"The link brings {measured_rate / 1e6:.1f} MB/s: envdoc downloads the wheels itself, so "
                    "that nothing is fetched twice if it breaks off."
                )
            except Failure as failure:
                if failure.kind not in ("network", "missing", "hash"):
                    raise
                if failure.kind != "missing":
                    report(f"{failure.message} envdoc tries it with its own downloader.")
    interpreter = environment / "bin" / "python"
    pins = missing_pins(read_pins(lock.read_text(encoding="utf-8"), machine), environment)
    if pins:
        fetch_pins(pins, machine, sizes_from or lock, wheels_folder(home), interpreter, report, home)
    install_from(wheels_folder(home))


def missing_pins(pins: List[Pin], environment: Path) -> List[Pin]:
    """Those that are not installed there yet; `torch 2.13.0+cpu` serves the pin `torch==2.13.0`."""
    there = set()
    for info in environment.glob("lib/*/site-packages/*.dist-info"):
        name, _, version = info.name[: -len(".dist-info")].rpartition("-")
        there.add((name.lower().replace("_", "-").replace(".", "-"), version))
        there.add((name.lower().replace("_", "-").replace(".", "-"), version.partition("+")[0]))
    return [pin for pin in pins if (pin.name, pin.version) not in there]


def open_index(interpreter: Path) -> Tuple[SimpleIndex, Web]:
    """Every place that the pip of that interpreter is configured for, and the way to its files.

    pip's default index and its own bundle of certificates are asked for only where nothing else is named.
    """
    settings = filled_by_uv(read_pip_config(interpreter), os.environ)
    default_index, certificates = "", ""
    without_index = not settings.index_url and not settings.no_index
    if without_index or not (certificates_of(settings, os.environ) or system_has_certificates()):
        try:
            default_index, certificates = pip_defaults(interpreter)
        except EnvdocError as error:
            if without_index:
                raise FixError(
                    error.message, "Name the index: `pip config set global.index-url URL`."
                ) from error
    web = Web(settings, certificates=certificates)
    return SimpleIndex(web, default_index), web


def fetch_pins(
    pins: List[Pin],
    machine: Machine,
    lock: Path,
    folder: Path,
    interpreter: Path,
    report: Optional[Report],
    home: Path,
) -> List[Wanted]:
    """Download every pin's wheel into `folder`, or go on with what lies there. Raises Failure."""
    index, web = open_index(interpreter)
    wanted = index.find(pins, machine, known_files(lock))
    done = download(wanted, folder, web, Progress(report))
    if done.fetched_bytes >= _LEAST_BYTES:
        rate.remember(home, done.fetched_bytes, done.seconds)
    return wanted


def from_cache(
    installer: Installer, environment: Path, lock: Path, temporary: Path, log: Path, report: Report
) -> bool:
    """Try without the network; False where the installer's cache lacks something."""
    try:
        install(installer, environment, lock, temporary, log, 0, report, None, None, offline=True)
        return True
    except Failure as failure:
        if failure.kind == "disk":
            raise
        return False


def _watcher(download_bytes: int, ratio: float) -> Callable[[float], bool]:
    """Whether what remains, at a rate of so many arrived bytes a second, is worth changing over."""

    def too_slow(arrived_bytes_per_second: float) -> bool:
        downloaded = arrived_bytes_per_second * ratio
        return downloaded < SLOW_BYTES_PER_SECOND and download_bytes > WORTH_SECONDS * max(downloaded, 1.0)

    return too_slow
