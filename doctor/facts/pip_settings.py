"""pip's own configuration, read from pip itself: where `pip install` would look, and with which certificates."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import EnvdocError

LIMIT_SECONDS = 60.0
# pip knows its default index and carries certificates of its own; nothing of the kind is written down here.
_ASK_DEFAULTS = (
    "from pip._internal.models.index import PyPI; from pip._vendor import certifi; "
    "print(PyPI.simple_url); print(certifi.where())"
)

# The pip of a base interpreter reads what that of its virtual environment does, but for this file.
_LIST_OF_BASE = (
    "import os, runpy, sys; os.path.exists(os.path.join(sys.prefix, 'pip.conf')) and sys.exit(1); "
    "sys.argv[1:] = ['config', 'list']; runpy.run_module('pip', run_name='__main__')"
)


@dataclass(frozen=True)
class PipSettings:
    """What pip would use for `pip install`; a field that is not configured is empty."""

    index_url: str = ""
    extra_index_urls: Tuple[str, ...] = ()
    find_links: Tuple[str, ...] = ()
    no_index: bool = False
    certificate: str = ""
    client_certificate: str = ""
    trusted_hosts: Tuple[str, ...] = ()
    proxy: str = ""
    timeout_seconds: str = ""


def list_pip_settings(
    python: Path, environ: Optional[Mapping[str, str]] = None, limit_seconds: float = LIMIT_SECONDS
) -> str:
    """What `pip config list` prints for that interpreter. Raises EnvdocError with pip's last line where it fails."""
    done = run([str(python), "-m", "pip", "config", "list"], limit_seconds, env=environ)
    if not done.ok:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise EnvdocError(lines[-1] if lines else "it printed nothing.")
    return done.stdout


def list_pip_settings_of_base(base: Path, environ: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """What `list_pip_settings` will say of a virtual environment that is made from that interpreter.

    None where it cannot be told: `base` has no pip, or a pip.conf of its own.
    """
    try:
        done = run([str(base), "-c", _LIST_OF_BASE], LIMIT_SECONDS, env=environ)
    except EnvdocError:
        return None
    return done.stdout if done.ok else None


def parse_pip_settings(text: str) -> PipSettings:
    """The configuration in what `pip config list` prints: `global.index-url='https://...'`, one setting a line.

    As in pip itself, a setting of the `install` section replaces one of `global`, and a variable replaces both.
    """
    settings: Dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in text.splitlines():
            name, _, value = line.partition("=")
            where, _, key = name.rpartition(".")
            if where.strip() == section:
                settings[key.strip()] = _unquoted(value)
    return PipSettings(
        index_url=settings.get("index-url", ""),
        extra_index_urls=tuple(settings.get("extra-index-url", "").split()),
        find_links=tuple(settings.get("find-links", "").split()),
        no_index=settings.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        certificate=settings.get("cert", ""),
        client_certificate=settings.get("client-cert", ""),
        trusted_hosts=tuple(settings.get("trusted-host", "").split()),
        proxy=settings.get("proxy", ""),
        timeout_seconds=settings.get("timeout", settings.get("default-timeout", "")),
    )


def pip_defaults(
    python: Path, environ: Optional[Mapping[str, str]] = None, limit_seconds: float = LIMIT_SECONDS
) -> Tuple[str, str]:
    """The index that pip uses where none is configured, and the file of certificates that it carries.

    Raises EnvdocError where that interpreter has no pip.
    """
    done = run([str(python), "-c", _ASK_DEFAULTS], limit_seconds, env=environ)
    lines = done.stdout.splitlines()
    if not done.ok or len(lines) != 2:
        raise EnvdocError(f"`{python}` has no pip that tells its default index.")
    return lines[0], lines[1]


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value.strip()))
    except (ValueError, SyntaxError):
        return value.strip().strip("'\"")
