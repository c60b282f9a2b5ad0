"""envdoc.lock.txt: a user's own lock beside their project, as `envdoc lock` made it; read, and written, as a Profile.

It is a requirements file with hashes that pip installs as it stands. Its comment lines hold what profiles.toml holds
for a profile of envdoc's own, and what was added to which profile. Whatever does not belong there is one error with
its line: an address, an index, a pin without a hash, a pin that was changed after the lock was proved.
"""

import dataclasses
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.choose import Choice
from envdoc.doctor.fix.profiles import CpuBuild, Profile
from envdoc.doctor.fix.user_pins import Pin, lines_of, lock_error, pin_lines, pins_sha256, read_strictly

FILE_NAME = "envdoc.lock.txt"
FORMAT = 1
PREFIX = "user-"  # before the base profile's name: such a profile is not one of envdoc's own
_HEADER = re.compile(r"# ([a-z0-9-]+): ?(.*)$")


@dataclass(frozen=True)
class UserLock:
    """What the file says: a profile, what it was made from, and its pins."""

    path: Path
    profile: Profile
    base: str  # name of the profile that the packages were added to
    arguments: Tuple[str, ...]  # requirements named on the command line
    files: Tuple[str, ...]  # files of requirements, relative to the lock's folder
    pins: Tuple[Pin, ...]


def find_lock(named: Optional[Path], folder: Path) -> Optional[Path]:
    """The lock that was named, or envdoc.lock.txt in that folder where it lies there."""
    path = folder / FILE_NAME
    return named if named is not None else path if path.is_file() else None


def read_user_lock(path: Path, home: Path) -> UserLock:
    """The lock in that file. Its pins are laid out for the installers under `home`/locks, named by their content.

    Raises FixError, with the line, where the file cannot be read or is not as `envdoc lock` wrote it.
    """
    lines = lines_of(path)
    header, values, pins = _header(path, lines), Values(path), []
    for key, number, text in header:
        values.add(key, number, text)
    pins = read_strictly(path, lines)
    told, line = values.one("pins-sha256")
    if pins_sha256(pins) != told:
        raise lock_error(
            path,
            line,
            "its pins are not those that were proved: the file was changed after `envdoc lock` made it",
        )
    return UserLock(
        path=path,
        profile=_profile(values, pins, home),
        base=values.text("base-profile"),
        arguments=tuple(text for key, _, text in header if key == "addition"),
        files=tuple(text for key, _, text in header if key == "additions-file"),
        pins=tuple(pins),
    )


class Values:
    """The header's keys; each is asked for by its type, and an answer that does not fit is an error with its line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: Dict[str, Tuple[str, int]] = {}

    def add(self, key: str, number: int, text: str) -> None:
        """Take a key in; of those that repeat the last counts here."""
        self._told[key] = (text, number)

    def one(self, key: str) -> Tuple[str, int]:
        """The value and its line. Raises FixError where the header lacks it."""
        if key not in self._told:
            raise lock_error(self._path, 1, f"its header has no `# {key}: ...`")
        return self._told[key]

    def text(self, key: str) -> str:
        """The value."""
        return self.one(key)[0]

    def number(self, key: str) -> int:
        """The value as a whole number. Raises FixError where it is none."""
        text, line = self.one(key)
        if not re.match(r"\d{1,15}$", text):
            raise lock_error(self._path, line, f"`{key}` is no number: `{text[:40]}`")
        return int(text)

    def matching(self, key: str, pattern: str) -> str:
        """The value, which must match the whole pattern."""
        text, line = self.one(key)
        if not re.match(pattern + "$", text):
            raise lock_error(self._path, line, f"`{key}` is not as `envdoc lock` writes it: `{text[:40]}`")
        return text

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self._told


def pins_of_profile(profile: Profile) -> Tuple[Pin, ...]:
    """What a profile's own lockfiles pin. Raises FixError where one is damaged."""
    pins = read_strictly(profile.lock, lines_of(profile.lock))
    if profile.cuda_lock is not None:
        extra = read_strictly(profile.cuda_lock, lines_of(profile.cuda_lock))
        pins += [Pin(pin.name, pin.version, pin.hashes, True) for pin in extra]
    return tuple(pins)


def require_fit(
    lock: UserLock, choice: Choice, choose_of: Callable[[Sequence[Profile]], Choice], automatic: bool
) -> None:
    """Raise FixError where this machine cannot have the lock's environment, with the one fact that is in the way.

    `choice` is that of the lock alone, `choose_of` chooses among other profiles on the same machine. `automatic`:
    the lock was found beside the project and not named. One for the CPU is then refused where a GPU is here, since
    nobody asked for slow training on a machine with a GPU.
    """
    profile, named = lock.profile, ""
    facts = [fact for name, fact in choice.rejected if name == profile.name]
    if choice.profile is not None:
        if not choice.gpu_unused or (profile.is_cpu and not automatic):
            return
        if profile.is_cpu:
            facts = ["it trains on the CPU, and this machine has a GPU"]
            named = f" `--lock {lock.path}` takes it all the same."
        else:  # beside the same as a CPU profile it is the GPU or the driver that speaks against it
            on_cpu = dataclasses.replace(profile, name="on the CPU", cuda="")
            beside = choose_of((profile, on_cpu))
            facts = [fact for name, fact in beside.rejected if name == profile.name]
    raise FixError(
        f"The lock `{lock.path}` does not fit this machine: {facts[0] if facts else 'no GPU here is served by it'}.",
        "Lock for this machine with `envdoc lock`, or build a profile of envdoc's own with `envdoc fix --profile "
        f"NAME` (`envdoc profiles` lists them).{named}",
    )


def _profile(values: Values, pins: Sequence[Pin], home: Path) -> Profile:
    digest = pins_sha256(pins)
    build = None
    torch = values.matching("torch", r"[0-9][A-Za-z0-9.+]*")
    if values.has("cpu-build-sha256"):
        sha256 = values.matching("cpu-build-sha256", r"[0-9a-f]{64}")
        build = CpuBuild(
            f"torch=={torch}+cpu --hash=sha256:{sha256}",
            values.number("cpu-build-download-bytes"),
            values.number("cpu-build-venv-bytes"),
        )
    cuda = [pin for pin in pins if pin.is_cuda]
    folder = home / "locks"
    return Profile(
        name=PREFIX + values.matching("base-profile", r"[a-z0-9][a-z0-9.-]*"),
        title=values.text("title"),
        python=values.matching("python", r"3\.\d+"),
        torch=torch,
        cuda=values.matching("cuda", r"[0-9.]*"),
        driver_exact=values.matching("driver-exact", r"[0-9.]*"),
        driver_minor=values.matching("driver-minor", r"[0-9.]*"),
        torch_architectures=tuple(values.text("torch-architectures").split()),
        bitsandbytes_architectures=tuple(values.text("bitsandbytes-architectures").split()),
        glibc=values.matching("glibc", r"[0-9.]+"),
        download_bytes=values.number("download-bytes"),
        venv_bytes=values.number("venv-bytes"),
        date=values.text("date"),
        probe=values.text("probe"),
        lock=_laid_out(folder, digest, "", [pin for pin in pins if not pin.is_cuda]),
        cuda_lock=_laid_out(folder, digest, ".cuda", cuda) if cuda else None,
        cpu_build=build,
        machine=values.matching("machine", r"[a-z0-9_]+"),
        lock_sha256=digest,
    )


def _laid_out(folder: Path, digest: str, suffix: str, pins: Sequence[Pin]) -> Path:
    """The pins as a file that an installer reads, whatever becomes of the user's file meanwhile.

    Where it cannot be written nothing is said yet: a plan needs no file, and a build says so first.
    """
    path, text = folder / f"{digest[:24]}{suffix}.txt", "--only-binary :all:\n" + pin_lines(pins)
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return path
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", dir=str(folder))
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).replace(path)
    except OSError:
        pass
    return path


def _header(path: Path, lines: Sequence[str]) -> List[Tuple[str, int, str]]:
    """Key, line and value of the comment lines before the first line that is none."""
    first = _HEADER.match(lines[0]) if lines else None
    if first is None or first.group(1) != "envdoc-lock":
        raise lock_error(
            path, 1, "its first line is not `# envdoc-lock: 1`, so `envdoc lock` did not make it"
        )
    if first.group(2) != str(FORMAT):
        raise lock_error(path, 1, f"it has format {first.group(2)[:20]}, and this envdoc reads {FORMAT}")
    header = []
    for number, line in enumerate(lines, 1):
        if not line.startswith("#"):
            break
        told = _HEADER.match(line)
        if told:
            header.append((told.group(1), number, told.group(2).strip()))
    return header
