"""Fill a wheelhouse: every wheel of a lock, the lock itself, and envdoc, for a machine without network."""

import fcntl
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix import rate
from envdoc.doctor.fix.delivery import open_index
from envdoc.doctor.fix.download import Downloaded, download, is_whole
from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.installer import Report
from envdoc.doctor.fix.own_wheel import pack_own_wheel
from envdoc.doctor.fix.pins import Machine, Pin, read_pins
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.progress import Progress
from envdoc.doctor.fix.pylock import known_files, pylock_of
from envdoc.doctor.fix.simple_index import SimpleIndex, Wanted
from envdoc.doctor.fix.wheelhouse import MANIFEST, hashes_in
from envdoc.lockfiles import lock_path

_MARGIN_BYTES = 50_000_000
_OLD_PIP_PYTHONS = ("3.8", "3.9")  # their oldest releases bring a pip that does not know torch's wheel tags


@dataclass(frozen=True)
class Order:
    """What is to be fetched: the locks, in the order in which they are installed, and for which machine."""

    name: str
    machine: Machine
    locks: Tuple[Path, ...]
    cpu_build: str = ""  # one requirement, tried first; where an index has it the second lock is not needed


def order_of(profile: Profile) -> Order:
    """The order for a profile that ships with envdoc."""
    locks = (profile.lock,) if profile.cuda_lock is None else (profile.lock, profile.cuda_lock)
    build = profile.cpu_build.requirement if profile.cpu_build is not None else ""
    return Order(profile.name, Machine(profile.python, profile.glibc, profile.machine), locks, build)


def fetch(order: Order, folder: Path, interpreter: Path, home: Path, report: Report) -> Downloaded:
    """Fill `folder`; what is there and whole is not fetched again, and what is half there is continued.

    `interpreter` is the Python whose pip configuration tells the index. The size is said first, and a disk that is
    too small refused. Raises FixError; what has arrived stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = (folder / ".lock").open("a")
    except OSError as error:
        raise FixError(f"`{folder}` cannot be written: {error.strerror or error}.") from error
    with held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise FixError(f"Another envdoc is filling `{folder}`.", "Wait until it has ended.") from error
        except OSError:
            pass  # a file system without locks
        index, web = open_index(interpreter)
        wanted = _wanted(order, index)
        also, lacking = _own(order.machine, index)
        wanted += [item for item in also if item.file not in {one.file for one in wanted}]
        _say_and_demand(order, wanted, folder, report)
        done = download(wanted, folder, web, Progress(report))
        if done.fetched_bytes >= 5_000_000 and home.is_dir():
            rate.remember(home, done.fetched_bytes, done.seconds)
        own = pack_own_wheel(folder)
        _write_texts(order, folder, own, lacking)
    for line in lacking:
        report(line)
    if own is None:
        report("envdoc's own wheel is not among them: this envdoc does not run from an installed wheel.")
    (folder / ".lock").unlink()
    return done


def _wanted(order: Order, index: SimpleIndex) -> List[Wanted]:
    """The wheels of the locks, torch's CPU build first where it is ordered and an index has it."""
    pins: List[Pin] = []
    known = known_files(order.locks[0])
    for lock in order.locks:
        pins += read_pins(lock.read_text(encoding="utf-8"), order.machine)
    if order.cpu_build:
        build = read_pins(order.cpu_build, order.machine)
        rest = read_pins(order.locks[0].read_text(encoding="utf-8"), order.machine)
        rest = [pin for pin in rest if pin.name != build[0].name]
        try:
            return index.find(build + rest, order.machine, known)
        except Failure as failure:
            if failure.kind != "missing" or str(build[0]) not in failure.message:
                raise
    return index.find(pins, order.machine, known)


def _own(machine: Machine, index: SimpleIndex) -> Tuple[List[Wanted], List[str]]:
    """What envdoc itself needs there, and a pip for the oldest Pythons; a sentence where it cannot be had."""
    pins = read_pins(lock_path("doctor").read_text(encoding="utf-8"), machine)
    if machine.python in _OLD_PIP_PYTHONS:
        every = read_pins(lock_path("relock").read_text(encoding="utf-8"), machine)
        pins += [pin for pin in every if pin.name == "pip"]
    try:
        return index.find(pins, machine, {}), []
    except Failure as failure:
        return [], [f"What envdoc itself needs is not among them: {failure.message}"]


def _say_and_demand(order: Order, wanted: Sequence[Wanted], folder: Path, report: Report) -> None:
    here = [item for item in wanted if is_whole(folder / item.file, item)]
    rest = [item for item in wanted if item not in here]
    known = sum(item.size_bytes or 0 for item in rest)
    parts = sum(path.stat().st_size for path in folder.glob("*.part"))
    unknown = sum(1 for item in rest if item.size_bytes is None)
    more = f" and {unknown} whose size is not told" if unknown else ""
    report(
        f"`{order.name}` for Python {order.machine.python}: {len(wanted)} wheels, {len(here)} of them here; "
        f"{known / 1e6:.1f} MB to download{more}, {parts / 1e6:.1f} MB of it begun."
    )
    free = shutil.disk_usage(str(folder)).free
    needed = max(0, known - parts) + _MARGIN_BYTES
    if free < needed:
        raise FixError(
            f"The wheels need {needed / 1e9:.2f} GB, and the disk of `{folder}` has {free / 1e9:.2f} GB free. "
            "Nothing was downloaded.",
            "Make room, or name a folder on a larger disk with `--to DIR`.",
        )


def _write_texts(order: Order, folder: Path, own: Optional[Path], lacking: Sequence[str]) -> None:
    first = order.locks[0]
    constraints = first.with_name(first.name[: -len(".txt")] + ".constraints.txt")
    beside = [*order.locks, pylock_of(first), constraints, lock_path("doctor")]
    for path in beside:
        if path.is_file() and path.resolve().parent != folder.resolve():
            shutil.copyfile(str(path), str(folder / path.name))
    (folder / "README.txt").write_text(_readme(order, own, bool(lacking)), encoding="utf-8")
    sums = [f"{digest}  {name}" for digest, name in hashes_in(folder).items()]
    temporary = folder / (MANIFEST + ".new")
    temporary.write_text("\n".join(sorted(sums, key=lambda line: line[66:])) + "\n", encoding="utf-8")
    temporary.replace(folder / MANIFEST)


def _readme(order: Order, own: Optional[Path], without_needs: bool) -> str:
    lines = [
        f"Wheels of `{order.name}` for Linux {order.machine.processor}, Python {order.machine.python}, made by "
        "`envdoc fetch`. `sha256sum -c SHA256SUMS` checks them.",
        "On the machine without network, from this folder's parent and with DIR for this folder:",
        "",
    ]
    if own is not None and not without_needs:
        lines += [
            f"    python{order.machine.python} -m venv ~/envdoc",
            "    ~/envdoc/bin/pip install --no-index --find-links DIR --require-hashes -r DIR/doctor.txt",
            f"    ~/envdoc/bin/pip install --no-index --no-deps DIR/{own.name}",
        ]
    envdoc = "~/envdoc/bin/envdoc" if own is not None and not without_needs else "envdoc"
    return "\n".join([*lines, f"    {envdoc} fix --apply --wheelhouse DIR", ""])
