"""Why a file could not be had, as one sentence. Kept apart are:

incomplete   fewer bytes than the known size: the line, a proxy or the mirror cut it; what is here is continued
hash         the size is right, or too large, and the hash is not: another file; refused, both hashes are told
portal       a web page came instead of a wheel: the login page of a hotel, a campus, a proxy
network      no answer, an error status, too little for too long
"""

import errno
import zipfile
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.pip_config import masked
from envdoc.doctor.fix.simple_index import Wanted
from envdoc.doctor.fix.web import WebError

_AGAIN = "Run it again: what has arrived is kept, and it goes on from there."


def verdict(wanted: Wanted, part: Path, digest: str, address: str) -> Failure:
    """What a file with a wrong hash is: cut short at the source, or another file."""
    file, size, got = wanted.file, wanted.size_bytes, part.stat().st_size
    if (size is not None and got < size) or (size is None and not zipfile.is_zipfile(str(part))):
        whole = f" of {size:,}" if size else ""
        return Failure(
            "incomplete",
            f"{file} is incomplete where it comes from ({masked(urlsplit(address).netloc)}): "
            f"{got:,}{whole} bytes, and no more follow. It was cut short there; nothing says that it was "
            "tampered with.",
            "Another mirror may have it whole: see `pip config list`. " + _AGAIN,
            digest,
        )
    other = f", where {size:,} are expected" if size and size != got else ""
    return Failure(
        "hash",
        f"The hash of {wanted.pin} differs from the lock's: the index or a mirror serves another file. "
        f"{file} has {got:,} bytes{other}; expected sha256 {' or '.join(sorted(wanted.sha256s)[:2])}, got "
        f"{digest}.",
        "Nothing of it was installed. Try the package index itself, and if it stays so, report it.",
        digest,
    )


def portal(wanted: Wanted, address: str) -> Failure:
    """A web page instead of a wheel."""
    return Failure(
        "portal",
        f"Instead of {wanted.file} a web page came from {urlsplit(address).hostname}: most likely the login "
        "page of this network or of a proxy.",
        "Log in with a browser, or set the proxy with `pip config set global.proxy URL`. " + _AGAIN,
    )


def broken_off(wanted: Wanted, error: WebError, had: int, told_bytes: Optional[int]) -> Failure:
    """What the web's error means for this file, of which `had` bytes are here."""
    size = wanted.size_bytes or told_bytes
    if error.status in (404, 410):
        return Failure(
            "missing",
            f"The package index lacks a pinned file: {error.message}",
            "Compare `pip config list` with the index you mean: a mirror may lag behind, or lack a package.",
        )
    whole = f" of {size / 1e6:.1f}" if size else ""
    here = f" {wanted.file} is incomplete: {had / 1e6:.1f}{whole} MB are here." if had else ""
    return Failure("network", f"The download broke off: {error.message}{here}", _AGAIN)


def as_failure(error: BaseException, folder: Path) -> BaseException:
    """An error of the disk as a Failure; any other as it is."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure(
            "disk", "The disk is full.", f"Make room where `{folder}` is, then run it again: " + _AGAIN
        )
    if isinstance(error, OSError):
        return Failure(
            "other", f"`{folder}` cannot be written: {error.strerror or error}.", "See its owner and rights."
        )
    return error
