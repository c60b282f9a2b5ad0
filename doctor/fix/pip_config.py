"""pip's own configuration, read from pip itself, so that another installer can honour it too.

pip gets it as it is: it reads its files and the PIP_ variables by itself. For uv it is translated here. Addresses
may hold a password: they travel in environment variables, never on a command line, and are masked when printed.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError

_LIMIT_SECONDS = 60.0
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


@dataclass(frozen=True)
class PipConfig:
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

    def uv_arguments(self) -> List[str]:
        """The part that uv takes on its command line."""
        arguments = ["--no-index"] if self.no_index else []
        for place in self.find_links:
            arguments += ["--find-links", place]
        return arguments

    def uv_environment(self) -> Dict[str, str]:
        """The part that uv takes from variables.

        pip looks at every index and takes the best file; uv by default stops at the first index that knows a
        name. Every file is checked against its hash, so that the wider search is safe here.
        """
        told = {
            "UV_DEFAULT_INDEX": self.index_url,
            "UV_INDEX": " ".join(self.extra_index_urls),
            "UV_INDEX_STRATEGY": "unsafe-best-match" if self.extra_index_urls else "",
            "UV_INSECURE_HOST": " ".join(self.trusted_hosts),
            "UV_HTTP_TIMEOUT": str(int(float(self.timeout_seconds))) if self.timeout_seconds else "",
            "SSL_CERT_FILE": self.certificate,
            "SSL_CLIENT_CERT": self.client_certificate,
            "HTTP_PROXY": self.proxy,
            "HTTPS_PROXY": self.proxy,
        }
        return {name: value for name, value in told.items() if value}


def read_pip_config(python: Path, environ: Optional[Mapping[str, str]] = None) -> PipConfig:
    """What the pip of that interpreter is configured with. Raises FixError where pip does not answer."""
    done = run([str(python), "-m", "pip", "config", "list"], _LIMIT_SECONDS, env=environ)
    if not done.ok:
        raise FixError(
            f"pip's configuration could not be read: {last_line(done.stderr)}",
            "Try `pip config list` yourself.",
        )
    return parse_pip_config(done.stdout)


def parse_pip_config(text: str) -> PipConfig:
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
    return PipConfig(
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


def masked(text: str) -> str:
    """The text without the user names and passwords of any address in it."""
    return _PASSWORD.sub("***@", text)


def last_line(text: str) -> str:
    """The last line that says something, masked; a plain sentence where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return masked(lines[-1]) if lines else "it printed nothing."


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value.strip()))
    except (ValueError, SyntaxError):
        return value.strip().strip("'\"")
