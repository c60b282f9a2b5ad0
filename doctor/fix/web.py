"""One HTTP request the way pip would make it: proxy, certificates, trusted hosts, credentials, time limit.

Redirects are followed here, hop by hop, so that a password goes to the host that it is for and to no other.
"""

import base64
import contextlib
import http.client
import netrc
import os
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from envdoc.doctor.errors import FixError
from envdoc.doctor.facts.pip_settings import PipSettings
from envdoc.doctor.fix.pip_config import certificates_of, masked
from envdoc.doctor.version import envdoc_version

DEFAULT_TIMEOUT_SECONDS = 15.0  # pip's own
_REDIRECTS = 10
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)


class WebError(Exception):
    """A request that failed. `status` is 0 where no answer came; `transient` says whether another try may help."""

    def __init__(
        self, message: str, status: int = 0, transient: bool = True, wait_seconds: Optional[float] = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.transient = transient
        self.wait_seconds = wait_seconds  # what the server asked for in Retry-After


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any, **named: Any) -> None:
        """None: the answer 3xx comes back as it is."""


class Web:
    """Opens addresses with pip's settings; safe to use from several threads."""

    def __init__(
        self,
        settings: PipSettings,
        environ: Optional[Mapping[str, str]] = None,
        certificates: str = "",
    ) -> None:
        """`certificates` is the bundle to trust where neither a setting nor the system names one."""
        self._environ = os.environ if environ is None else environ
        self.settings = settings
        try:
            self.timeout_seconds = float(settings.timeout_seconds or DEFAULT_TIMEOUT_SECONDS)
        except ValueError:
            self.timeout_seconds = DEFAULT_TIMEOUT_SECONDS
        self._credentials: Dict[str, str] = {}
        self._netrc = _netrc(self._environ)
        self._trusted = {host.lower() for host in settings.trusted_hosts}
        self._checked = self._opener(_context(settings, self._environ, certificates))
        self._unchecked = self._opener(_unchecked_context(settings))
        for address in (settings.index_url, *settings.extra_index_urls, *settings.find_links):
            if "://" in address:
                self._without_credentials(address)

    def open(self, address: str, headers: Mapping[str, str]) -> Tuple[Any, str]:
        """The answer with status 200 or 206, to be closed by the caller, and its final address. Raises WebError."""
        for _ in range(_REDIRECTS):
            answer, there = self._once(address, headers)
            if there is None:
                return answer, address
            answer.close()
            address = urljoin(address, there)
            if urlsplit(address).scheme not in ("http", "https"):
                break
        raise WebError(f"`{masked(address)}` redirects without end.", transient=False)

    def _once(self, address: str, headers: Mapping[str, str]) -> Tuple[Any, Optional[str]]:
        plain = self._without_credentials(address)
        parts = urlsplit(plain)
        request = urllib.request.Request(
            plain,
            headers={"User-Agent": f"envdoc/{envdoc_version()}", "Accept-Encoding": "identity", **headers},
        )
        secret = self._credentials.get(parts.netloc) or self._netrc_for(parts.hostname or "")
        if secret:
            request.add_unredirected_header("Authorization", "Basic " + secret)
        self._through_proxy(request, parts.scheme, parts.hostname or "")
        trusted = {(parts.hostname or "").lower(), parts.netloc.lower()} & self._trusted
        opener = self._unchecked if trusted else self._checked
        shown = masked(plain).partition("?")[0]
        try:
            answer = opener.open(request, timeout=self.timeout_seconds)
            return answer, None
        except urllib.error.HTTPError as error:
            there = error.headers.get("Location")
            if error.code in (301, 302, 303, 307, 308) and there:
                return error, there
            error.close()
            raise _refused(error, shown) from None
        except urllib.error.URLError as error:
            reason = error.reason
            if isinstance(reason, ssl.SSLCertVerificationError):
                raise WebError(
                    f"The certificate of {parts.hostname} is not trusted: {reason.verify_message}.",
                    transient=False,
                ) from error
            raise WebError(_why(parts.hostname or "", reason)) from error
        except (OSError, http.client.HTTPException) as error:
            raise WebError(_why(parts.hostname or "", error)) from error

    def _opener(self, context: ssl.SSLContext) -> urllib.request.OpenerDirector:
        return urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
        )

    def _without_credentials(self, address: str) -> str:
        """The address without its user and password, which are kept for every file of that host, as pip does."""
        parts = urlsplit(address)
        user, at, host = parts.netloc.rpartition("@")
        if not at:
            return address
        name, _, password = user.partition(":")
        self._credentials[host] = _basic(unquote(name), unquote(password))
        return urlunsplit(parts._replace(netloc=host))

    def _netrc_for(self, host: str) -> str:
        found = self._netrc.authenticators(host) if self._netrc is not None else None
        return _basic(found[0] or found[1] or "", found[2] or "") if found else ""

    def _through_proxy(self, request: urllib.request.Request, scheme: str, host: str) -> None:
        """pip's own proxy setting goes for every host; the variables have their exceptions in no_proxy."""
        proxy = self.settings.proxy
        if not proxy:
            proxies = _lower_proxies(self._environ)
            if _excepted(host, proxies.get("no", "")):
                return
            proxy = proxies.get(scheme) or proxies.get("all", "")
        if not proxy:
            return
        parts = urlsplit(proxy if "://" in proxy else "http://" + proxy)
        if parts.scheme not in ("http", "https"):
            raise FixError(
                f"envdoc's own downloader does not speak {parts.scheme}, the protocol of the configured proxy.",
                "Configure an HTTP proxy, or make a wheelhouse where the network is open: `envdoc fetch --to DIR`.",
            )
        user, at, place = parts.netloc.rpartition("@")
        if at:
            name, _, password = user.partition(":")
            request.add_header("Proxy-Authorization", "Basic " + _basic(unquote(name), unquote(password)))
        request.set_proxy(place, parts.scheme)


def _lower_proxies(environ: Mapping[str, str]) -> Dict[str, str]:
    """`{"http": ..., "https": ..., "no": ...}` from the *_proxy variables; small letters win, as everywhere."""
    found: Dict[str, str] = {}
    for name in ("HTTP", "HTTPS", "ALL", "NO"):
        value = environ.get(f"{name.lower()}_proxy", environ.get(f"{name}_PROXY", ""))
        if value:
            found[name.lower()] = value
    return found


def system_has_certificates() -> bool:
    """Whether Python finds a bundle of the system's; a slim container has none."""
    return ssl.create_default_context().cert_store_stats()["x509_ca"] > 0


def _excepted(host: str, exceptions: str) -> bool:
    """Whether no_proxy names the host or a domain that it lies in; `*` names all."""
    names = [name.strip().lstrip(".").lower() for name in exceptions.split(",") if name.strip()]
    return any(name == "*" or host.lower() == name or host.lower().endswith("." + name) for name in names)


def _context(settings: PipSettings, environ: Mapping[str, str], certificates: str) -> ssl.SSLContext:
    named = certificates_of(settings, environ)
    try:
        if named:
            is_folder = Path(named).is_dir()
            context = ssl.create_default_context(
                cafile=None if is_folder else named, capath=named if is_folder else None
            )
        else:
            context = ssl.create_default_context()
            if not context.cert_store_stats()["x509_ca"] and certificates:
                context.load_verify_locations(certificates)
        if settings.client_certificate:
            context.load_cert_chain(settings.client_certificate)
    except (OSError, ssl.SSLError) as error:
        which = named or settings.client_certificate or certificates
        raise FixError(
            f"The certificates in `{which}` cannot be used: {error.strerror or error}.",
            "Compare `pip config list`: `cert` and `client-cert` must name PEM files.",
        ) from error
    return context


def _unchecked_context(settings: PipSettings) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # a trusted host of pip's; every file's hash is checked all the same
    if settings.client_certificate:
        with contextlib.suppress(OSError, ssl.SSLError):  # told by the context that checks
            context.load_cert_chain(settings.client_certificate)
    return context


def _netrc(environ: Mapping[str, str]) -> Optional[netrc.netrc]:
    named = environ.get("NETRC")
    home = environ.get("HOME", "")
    path = Path(named) if named else Path(home) / ".netrc"
    try:
        return netrc.netrc(str(path)) if path.is_file() else None
    except (netrc.NetrcParseError, OSError, UnicodeDecodeError):
        return None


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _refused(error: urllib.error.HTTPError, shown: str) -> WebError:
    wait = error.headers.get("Retry-After") or ""
    asks = {401: ", it asks for a password", 407: ", the proxy asks for a password"}.get(error.code, "")
    return WebError(
        f"`{shown}` answers {error.code} {error.reason}{asks}.",
        error.code,
        error.code in _TRANSIENT,
        float(wait) if wait.isdigit() else None,
    )


def _why(host: str, reason: Any) -> str:
    if isinstance(reason, (socket.timeout, TimeoutError)):
        return f"{host} did not answer in time."
    if isinstance(reason, socket.gaierror):
        return f"The name {host} is not known here: {reason.strerror}."
    text = masked(str(getattr(reason, "strerror", None) or reason)) or type(reason).__name__
    return f"{host}: {text}."
