"""One request over one connection, each stage of it timed: name, TCP (or proxy), TLS, first line, body.

Standard library only. No address is written here: whoever calls names it. Every wait has a limit.
"""

import base64
import http.client
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, Mapping, Optional, Tuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

STEP_SECONDS = 5.0  # for one connection, one handshake or one read
REDIRECTS = 4
CHUNK_BYTES = 1 << 16


class StageError(Exception):
    """A stage that failed: "proxy", "name", "connection", "certificate", "tls", "timeout", "http"; or "unmeasured"."""

    def __init__(self, stage: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage


@dataclass(frozen=True)
class Trust:
    """Which certificates a program accepts: those of a PEM file or a folder."""

    certificates: str = ""  # instead of the system's
    extra: str = ""  # beside the system's
    trusted_hosts: Tuple[str, ...] = ()  # never verified

    def context(self, host: str, port: int) -> ssl.SSLContext:
        """The TLS settings for that server. Raises StageError("certificate") where the file cannot be read."""
        try:
            if self.certificates:
                folder = Path(self.certificates).is_dir()
                context = ssl.create_default_context(
                    cafile=None if folder else self.certificates, capath=self.certificates if folder else None
                )
            else:
                context = ssl.create_default_context()
                if self.extra and Path(self.extra).is_file():
                    context.load_verify_locations(self.extra)
        except (OSError, ssl.SSLError) as error:
            raise StageError(
                "certificate", f"the CA bundle {self.certificates} cannot be read: {error}"
            ) from error
        # Python 3.13 became stricter than pip and git are; a company's root that they accept is well here.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if host in self.trusted_hosts or f"{host}:{port}" in self.trusted_hosts:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


@dataclass
class Timings:
    """Seconds of each stage of the first connection; None where it did not come to that."""

    resolve: Optional[float] = None
    connect: Optional[float] = None
    tls: Optional[float] = None
    latency: Optional[float] = None
    proxy: str = ""


@dataclass(frozen=True)
class Answer:
    """What a server answered. `seconds` runs from the request to the last byte that was read."""

    status: int
    url: str  # after redirects
    body: bytes
    seconds: float


@dataclass(frozen=True)
class Client:
    """Asks servers as one program would: through its proxies, with its certificates, until a deadline."""

    environ: Mapping[str, str]
    trust: Trust
    deadline: float  # of time.monotonic()
    proxy: str = ""  # instead of the variables' own
    timings: Timings = field(default_factory=Timings)

    def get(self, url: str, most_bytes: int, most_seconds: float, ranged: bool = False) -> Answer:
        """The answer to GET, following redirects; its body up to that many bytes and seconds.

        Raises StageError. A status of 400 or more is an answer, not an error.
        """
        for _ in range(REDIRECTS + 1):
            parts = urlsplit(url)
            connection = self.connect(url)
            try:
                headers = {"User-Agent": "envdoc", "Accept": "text/html, */*", "Accept-Encoding": "identity"}
                headers.update(_authorization(parts))
                if ranged:
                    headers["Range"] = f"bytes=0-{most_bytes - 1}"
                response, started = self._ask(connection, self._path(parts), headers)
                location = response.getheader("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = urljoin(url, location)
                    continue
                body = _read(response, most_bytes, min(self.deadline, started + most_seconds))
                return Answer(response.status, url, body, time.monotonic() - started)
            finally:
                connection.close()
        raise StageError("http", f"more than {REDIRECTS} redirects")

    def connect(self, url: str) -> http.client.HTTPConnection:
        """A connection to the server of that address, encrypted where it says https. Raises StageError."""
        parts = urlsplit(url)
        host, port = _host_and_port(parts)
        proxy = self.proxy_for(parts)
        timings = self.timings
        if proxy:
            connection = self._through(proxy, parts, host, port)
        else:
            started = time.monotonic()
            try:
                socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise StageError("name", f"the name `{host}` is not resolved: {_words(error)}") from error
            timings.resolve = _first(timings.resolve, started)
            connection = http.client.HTTPConnection(host, port, timeout=self._limit())
            started = time.monotonic()
            try:
                connection.connect()
            except OSError as error:
                stage = "timeout" if isinstance(error, socket.timeout) else "connection"
                raise StageError(stage, f"no connection to {host}:{port}: {_words(error)}") from error
            timings.connect = _first(timings.connect, started)
        if parts.scheme == "https":
            self._encrypt(connection, host, port)
        return connection

    def proxy_for(self, parts: SplitResult) -> str:
        """The proxy's address for that server, or nothing: the program's own, else *_proxy less no_proxy."""
        known = _proxies(self.environ)
        host = parts.hostname or ""
        if _without_proxy(host, known.get("no", "")):
            return ""
        found = self.proxy or known.get(parts.scheme) or known.get("all") or ""
        return found if "://" in found or not found else f"http://{found}"

    def _through(self, proxy: str, parts: SplitResult, host: str, port: int) -> http.client.HTTPConnection:
        way = urlsplit(proxy)
        self.timings.proxy = proxy
        if way.scheme != "http":
            raise StageError("unmeasured", f"a proxy of the kind {way.scheme} cannot be measured")
        name, number = _host_and_port(way)
        connection = http.client.HTTPConnection(name, number, timeout=self._limit())
        if parts.scheme == "https":
            connection.set_tunnel(host, port, headers=_authorization(way, "Proxy-Authorization"))
        started = time.monotonic()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise StageError(
                "proxy", f"the proxy {name}:{number} does not connect: {_words(error)}"
            ) from error
        self.timings.connect = _first(self.timings.connect, started)
        return connection

    def _encrypt(self, connection: http.client.HTTPConnection, host: str, port: int) -> None:
        context = self.trust.context(host, port)
        started = time.monotonic()
        try:
            connection.sock = context.wrap_socket(connection.sock, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise StageError(
                "certificate", f"the certificate of {host} is refused: {error.verify_message}"
            ) from error
        except (OSError, ValueError) as error:
            connection.close()
            stage = "timeout" if isinstance(error, socket.timeout) else "tls"
            raise StageError(stage, f"no TLS with {host}: {_words(error)}") from error
        connection.default_port = 443
        self.timings.tls = _first(self.timings.tls, started)

    def _path(self, parts: SplitResult) -> str:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if parts.scheme == "http" and self.proxy_for(parts):  # a plain proxy wants the whole address
            return f"http://{parts.netloc.rpartition('@')[2]}{path}"
        return path

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, headers: Mapping[str, str]
    ) -> Tuple[http.client.HTTPResponse, float]:
        started = time.monotonic()
        if connection.sock is not None:
            connection.sock.settimeout(self._limit())
        try:
            connection.request("GET", path, headers=dict(headers))
            response = connection.getresponse()
        except socket.timeout as error:
            raise StageError("timeout", f"no answer within {time.monotonic() - started:.0f} s") from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise StageError("http", f"no answer: {_words(error)}") from error
        self.timings.latency = _first(self.timings.latency, started)
        return response, started

    def _limit(self) -> float:
        left = self.deadline - time.monotonic()
        if left < 1.0:
            raise StageError("unmeasured", "the others took all the time there was")
        return min(STEP_SECONDS, left)


def _read(response: http.client.HTTPResponse, most_bytes: int, until: float) -> bytes:
    """The body up to either limit; a server that stops in the middle has delivered what came."""
    parts, size = [], 0
    while size < most_bytes and time.monotonic() < until:
        try:
            chunk = response.read1(min(CHUNK_BYTES, most_bytes - size))
        except (OSError, http.client.HTTPException):
            break
        if not chunk:
            break
        parts.append(chunk)
        size += len(chunk)
    return b"".join(parts)


def _proxies(environ: Mapping[str, str]) -> Dict[str, str]:
    """scheme → address as curl and requests read them: lower case first; "no" holds the exceptions."""
    found: Dict[str, str] = {}
    for name in ("http", "https", "all", "no"):
        value = environ.get(f"{name}_proxy") or environ.get(f"{name.upper()}_PROXY") or ""
        if value:
            found[name] = value
    return found


def _without_proxy(host: str, exceptions: str) -> bool:
    """Whether no_proxy names that host or a domain above it; `*` names all."""
    names = [name.strip().lstrip(".").partition(":")[0].lower() for name in exceptions.split(",")]
    return any(name == "*" or host == name or host.endswith(f".{name}") for name in names if name)


def _host_and_port(parts: SplitResult) -> Tuple[str, int]:
    try:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise StageError("name", f"the address has no usable port: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise StageError("name", "the address is none of http or https with a host name")
    return host, port


def _authorization(parts: SplitResult, header: str = "Authorization") -> Dict[str, str]:
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {header: "Basic " + base64.b64encode(pair.encode()).decode()}


def _first(known: Optional[float], started: float) -> float:
    """The first connection's seconds; a redirect's do not replace them."""
    return time.monotonic() - started if known is None else known


def _words(error: BaseException) -> str:
    if isinstance(error, socket.timeout):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
