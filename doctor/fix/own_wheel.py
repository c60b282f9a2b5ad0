"""envdoc's own wheel, packed again from the files of this installation.

It is not asked for at an index: its files are here, and a name without a hash is nothing to be fetched by.
"""

import base64
import csv
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import List, Optional, Tuple

_NAME = "envdoc-llm"
_NOT_PACKED = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def pack_own_wheel(folder: Path) -> Optional[Path]:
    """Write the wheel into `folder`; None where envdoc runs from a checkout or an editable installation."""
    try:
        installed = distribution(_NAME)
    except PackageNotFoundError:
        return None
    files = _files(installed)
    if not any(name.endswith(".dist-info/WHEEL") for name, _ in files) or len(files) < 50:
        return None
    path = folder / f"{_NAME.replace('-', '_')}-{installed.version}-py3-none-any.whl"
    info = next(name.partition("/")[0] for name, _ in files if ".dist-info/" in name)
    record = io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    temporary = path.with_name(path.name + ".new")
    with zipfile.ZipFile(str(temporary), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(_entry(name), content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode("ascii")
            rows.writerow((name, f"sha256={digest}", len(content)))
        rows.writerow((f"{info}/RECORD", "", ""))
        archive.writestr(_entry(f"{info}/RECORD"), record.getvalue())
    temporary.replace(path)
    return path


def _files(installed: Distribution) -> List[Tuple[str, bytes]]:
    """The distribution's own files; scripts are made anew by whoever installs, compiled files too."""
    found = []
    for item in sorted(installed.files or (), key=str):
        name = item.as_posix()
        if name.startswith("..") or name.endswith(".pyc") or item.name in _NOT_PACKED:
            continue
        path = Path(str(item.locate()))
        if path.is_file():
            found.append((name, path.read_bytes()))
    return found


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))  # the same files, the same wheel
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
