"""pip's own configuration, so that another installer can honour it too.

pip gets it as it is: it reads its files and the PIP_ variables by itself. For uv it is translated here. Addresses
may hold a password: they travel in environment variables, never on a command line, and are masked when printed.
"""

import re
from pathlib import Path
from typing import Dict, List, Mapping, Optional

from envdoc.doctor.errors import EnvdocError, FixError
from envdoc.doctor.facts.pip_settings import PipSettings, list_pip_settings, parse_pip_settings

_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")


class PipConfig(PipSettings):
    """What pip would use for `pip install`, in uv's words."""

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


def certificates_of(settings: PipSettings, environ: Mapping[str, str]) -> str:
    """The bundle that pip trusts, in its own order: the variables of requests come before `cert`.

    With a proxy of pip's own setting pip passes all variables by. Empty where nothing is named.
    """
    named = "" if settings.proxy else environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE") or ""
    return named or settings.certificate


def read_pip_config(python: Path, environ: Optional[Mapping[str, str]] = None) -> PipConfig:
    """What the pip of that interpreter is configured with. Raises FixError where pip does not answer."""
    try:
        return parse_pip_config(list_pip_settings(python, environ))
    except EnvdocError as error:
        raise FixError(
            f"pip's configuration could not be read: {masked(error.message)}",
            "Try `pip config list` yourself.",
        ) from error


def parse_pip_config(text: str) -> PipConfig:
    """The configuration in what `pip config list` prints."""
    return PipConfig(**vars(parse_pip_settings(text)))


def masked(text: str) -> str:
    """The text without the user names and passwords of any address in it."""
    return _PASSWORD.sub("***@", text)


def last_line(text: str) -> str:
    """The last line that says something, masked; a plain sentence where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return masked(lines[-1]) if lines else "it printed nothing."
