"""A folder with every wheel of a lock, for a machine without network: what it holds, and what it lacks."""

from functools import lru_cache
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.download import sha256_of
from envdoc.doctor.fix.pins import Machine, Pin, read_pins
from envdoc.doctor.fix.profiles import Profile
from envdoc.doctor.fix.pylock import known_files

MANIFEST = "SHA256SUMS"


@lru_cache(maxsize=None)
def _hash_of(path: str, size: int, changed_ns: int) -> str:
    return sha256_of(Path(path))


def hashes_in(folder: Path) -> Dict[str, str]:
    """sha256 to file name of every wheel in the folder; each is read once in a run. Raises FixError."""
    try:
        found = {}
        for path in sorted(folder.glob("*.whl")):
            about = path.stat()
            found[_hash_of(str(path), about.st_size, about.st_mtime_ns)] = path.name
        return found
    except OSError as error:
        raise FixError(f"`{folder}` cannot be read: {error.strerror or error}.") from error


def lacking(profile: Profile, folder: Path) -> List[str]:
    """What the folder lacks of that profile, a sentence each; empty where it is complete.

    With torch's CPU build in it the CUDA libraries of its default wheel are not needed.
    """
    here = hashes_in(folder)
    machine = Machine(profile.python, profile.glibc, profile.machine)
    pins = read_pins(profile.lock.read_text(encoding="utf-8"), machine)
    if profile.cpu_build is not None and here.keys() & read_pins(profile.cpu_build.requirement)[0].sha256s:
        pins = [pin for pin in pins if pin.name != "torch"]
    elif profile.cuda_lock is not None:
        pins += read_pins(profile.cuda_lock.read_text(encoding="utf-8"), machine)
    known = {digest: item.size_bytes for digest, item in known_files(profile.lock).items()}
    return [_against(pin, folder, known) for pin in pins if not here.keys() & pin.sha256s]


def _against(pin: Pin, folder: Path, known: Dict[str, int]) -> str:
    """Why the folder does not serve the pin: cut short, another file, or nothing there."""
    stem = f"{pin.name.replace('-', '_')}-{pin.version}-".lower()
    sizes = [known[digest] for digest in pin.sha256s if digest in known]
    for path in sorted(folder.glob("*.whl")):
        if (
            not path.name.lower()
            .replace("-", "_", path.name.lower().split("-")[0].count("-"))
            .startswith(stem)
        ):
            continue
        here = path.stat().st_size
        if sizes and here < sizes[0]:
            return f"{path.name} is incomplete: {here:,} of {sizes[0]:,} bytes"
        return f"{path.name} has another hash than the lock's"
    if list(folder.glob(f"{stem}*.part")):
        return f"{pin} is half downloaded"
    return f"{pin} is not there"


def require_complete(profile: Profile, folder: Path) -> None:
    """Raise FixError, which names what lacks, where the folder does not hold the whole profile."""
    missing = lacking(profile, folder)
    if missing:
        more = f"; and {len(missing) - 4} more" if len(missing) > 4 else ""
        raise FixError(
            f"`{folder}` does not hold the whole of `{profile.name}`: {'; '.join(missing[:4])}{more}. "
            "Nothing was built.",
            f"On a machine with network: `envdoc fetch --profile {profile.name} --to DIR`, which fetches only what "
            "lacks.",
        )


def held_profiles(
    folder: Path, profiles: Sequence[Profile], wanted: Optional[str] = None
) -> Tuple[Profile, ...]:
    """Those profiles that the folder holds whole. Raises FixError where it holds none, or not the wanted one."""
    if wanted is not None:
        for profile in profiles:
            if profile.name == wanted:
                require_complete(profile, folder)
        return tuple(profiles)
    counted = [(len(lacking(profile, folder)), place, profile) for place, profile in enumerate(profiles)]
    held = tuple(profile for count, _, profile in counted if not count)
    if not held and counted:
        require_complete(min(counted, key=lambda item: item[:2])[2], folder)
    return held
