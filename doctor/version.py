"""The version of envdoc and of the data that its rules rest on."""

import hashlib
from functools import lru_cache
from pathlib import Path

UNINSTALLED = "0+source"


@lru_cache(maxsize=None)
def envdoc_version() -> str:
    """The version of the installed distribution, `0+source` where none is installed."""
    return _beside() or _anywhere()


def _beside() -> str:
    """As the metadata beside this package says; "" where that is not the only one (an editable install, leftovers).

    importlib.metadata brings the e-mail package with it, whose import takes a tenth of a quick check.
    """
    found = list(Path(__file__).resolve().parents[2].glob("envdoc_llm-*.dist-info"))
    if len(found) != 1:
        return ""
    try:
        lines = (found[0] / "METADATA").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line[len("Version:") :].strip() for line in lines if line.startswith("Version:")), "")


def _anywhere() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("envdoc-llm")
    except PackageNotFoundError:
        return UNINSTALLED


@lru_cache(maxsize=None)
def rules_version() -> str:
    """The first 12 hex digits of a SHA-256 over every rule, message, table and advisory, in the order of names.

    Two envdocs with the same `rules_version` judge the same snapshot alike.
    """
    folder = Path(__file__).parent
    digest = hashlib.sha256()
    for room in ("advisories", "rules", "tables"):
        for path in sorted(p for p in (folder / room).rglob("*") if p.suffix in (".py", ".toml")):
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
