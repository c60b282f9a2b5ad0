"""uv's own settings, for what pip's configuration leaves open: a user of uv may have written no pip.conf at all.

uv reads them by itself when it installs; they are read here for envdoc's own downloader, so that it looks in the
same places.
"""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Tuple

from envdoc.doctor.fix.pip_config import PipConfig

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def filled_by_uv(config: PipConfig, environ: Mapping[str, str]) -> PipConfig:
    """pip's configuration, each setting that it lacks taken from uv's variables or else its files."""
    table = {} if environ.get("UV_NO_CONFIG") else _tables(environ)
    default, extra = _indexes(table, environ)
    find_links = environ.get("UV_FIND_LINKS", "").replace(",", " ").split() or _strings(
        table.get("find-links")
    )
    hosts = environ.get("UV_INSECURE_HOST", "").split() or _strings(table.get("allow-insecure-host"))
    return replace(
        config,
        index_url=config.index_url or default,
        extra_index_urls=config.extra_index_urls or extra,
        find_links=config.find_links or tuple(find_links),
        no_index=config.no_index
        or environ.get("UV_NO_INDEX") in ("1", "true")
        or table.get("no-index") is True,
        trusted_hosts=config.trusted_hosts or tuple(hosts),
        timeout_seconds=config.timeout_seconds or environ.get("UV_HTTP_TIMEOUT", ""),
        client_certificate=config.client_certificate or environ.get("SSL_CLIENT_CERT", ""),
    )


def _indexes(table: Mapping[str, Any], environ: Mapping[str, str]) -> Tuple[str, Tuple[str, ...]]:
    """The default index and the others; a variable replaces what the files say of the same."""
    default = (
        environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or str(table.get("index-url", ""))
    )
    extra = (environ.get("UV_INDEX") or environ.get("UV_EXTRA_INDEX_URL") or "").split()
    extra = extra or _strings(table.get("extra-index-url"))
    for index in table.get("index", ()):
        if isinstance(index, dict) and "url" in index and not index.get("explicit"):
            if index.get("default"):
                default = default or str(index["url"])
            elif not environ.get("UV_INDEX"):
                extra.append(str(index["url"]))
    return _address(default), tuple(_address(item) for item in extra)


def _tables(environ: Mapping[str, str]) -> Dict[str, Any]:
    """The machine's file, the user's over it, or the one that UV_CONFIG_FILE names; `[pip]` over the rest."""
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config")
    named = environ.get("UV_CONFIG_FILE")
    merged: Dict[str, Any] = {}
    for path in [Path(named)] if named else [Path("/etc/uv/uv.toml"), home / "uv" / "uv.toml"]:
        try:
            with path.open("rb") as file:
                merged.update(tomllib.load(file))
        except (OSError, ValueError):
            continue  # uv itself says what is wrong with it
    own = merged.pop("pip", {})
    merged.update(own if isinstance(own, dict) else {})
    return merged


def _address(index: str) -> str:
    """`name=https://...` without its name."""
    name, equals, address = index.partition("=")
    return address if equals and "://" not in name and "/" not in name else index


def _strings(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
