"""What of a lock's wheels is here already: in envdoc's own folder of unfinished downloads, and in uv's cache.

uv keeps a wheel unpacked, and beside its other entries a link to that, named by the wheel:
wheels-v8/pypi/matplotlib/3.11.2-cp311-cp311-manylinux_2_17_x86_64, or index/HASH/ instead of pypi/ (uv 0.13).
Longer names it hashes, and those count as not here. Only names and sizes are looked at: this is for the plan, and the
installer looks again. pip's cache is named by addresses, and tells nothing without the index.
"""

from pathlib import Path
from typing import List, Optional

from packaging.utils import canonicalize_name

from envdoc.doctor.fix.delivery import wheels_folder
from envdoc.doctor.fix.pylock import KnownFile, known_files


def cached_bytes(locks: List[Path], home: Path, uv_cache: Optional[Path]) -> Optional[int]:
    """The bytes of these locks that need not be downloaded; None where the locks' sizes are not known.

    `uv_cache` is None where uv is not the installer.
    """
    wanted = {sha256: file for lock in locks for sha256, file in known_files(lock).items()}
    if not wanted:
        return None
    buckets = (
        [] if uv_cache is None else [*uv_cache.glob("wheels-v*/pypi"), *uv_cache.glob("wheels-v*/index/*")]
    )
    return sum(_here(file, wheels_folder(home), buckets) for file in wanted.values())


def _here(file: KnownFile, wheels: Path, buckets: List[Path]) -> int:
    name, _, rest = file.file.partition("-")
    entry = Path(str(canonicalize_name(name)), rest[: -len(".whl")])
    if any((bucket / entry).exists() for bucket in buckets):
        return file.size_bytes
    sizes = [
        path.stat().st_size for path in (wheels / file.file, wheels / (file.file + ".part")) if path.is_file()
    ]
    return min(max(sizes, default=0), file.size_bytes)
