"""One request over one connection, each stage of it timed: name, TCP (or proxy), TLS, first line, body.

Standard library only. No address is written here: whoever calls names it. Every wait has a limit.
"""

import email.utils
import http.client
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, Optional, Sequence, Tuple
from urllib.parse import SplitResult, urljoin, urlsplit

from envdoc.doctor.facts.proxies import authorization, host_and_port, proxies, without_proxy
from envdoc.doctor.facts.stages import StageError, proxy_stage, tls_stage, words

STEP_SECONDS = 5.0  # for one connection, one handshake or one read
FALLBACK_SECONDS = 3.0  # for an address that another may replace
ADDRESSES = 4
REDIRECTS = 4
CHUNK_BYTES = 1 << 16


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
    skew: Optional[float] = None  # of the server's clock against this one, by its Date header (whole seconds)
    fallback: float = 0.0  # spent on addresses that did not answer, before the one that did
    fallback_family: str = ""  # "IPv6" or "IPv4": of the first that did not


@dataclass(frozen=True)
class Answer:
    """What a server answered. `seconds` runs from the request to the last byte that was read."""

    status: int
    url: str  # after redirects
    body: bytes
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case


@dataclass(frozen=True)
class Client:
    """Asks servers as one program would: through its proxies, with its certificates, until a deadline."""

    environ: Mapping[str, str]
    trust: Trust
    deadline: float  # of time.monotonic()
    proxy: str = ""  # instead of the variables' own
    timings: Timings = field(default_factory=Timings)

    def get(
        self, url: str, most_bytes: int, most_seconds: float, ranged: bool = False, token: str = ""
    ) -> Answer:
        """The answer to GET, following redirects; its body up to that many bytes and seconds.

        `token` goes to the first host alone. Raises StageError. A status of 400 or more is an answer, not an error.
        """
        first = urlsplit(url)
        for _ in range(REDIRECTS + 1):
            parts = urlsplit(url)
            connection = self.connect(url)
            try:
                headers = {"User-Agent": "envdoc", "Accept": "text/html, */*", "Accept-Encoding": "identity"}
                headers.update(authorization(parts))
                if token and (parts.scheme, parts.netloc) == (first.scheme, first.netloc):
                    headers["Authorization"] = f"Bearer {token}"
                if ranged:
                    headers["Range"] = f"bytes=0-{most_bytes - 1}"
                response, started = self._ask(connection, self._path(parts), headers)
                location = response.getheader("Location")
                if response.status in (301, 302, 303, 307, 308) and location:
                    url = urljoin(url, location)
                    continue
                body = _read(response, most_bytes, min(self.deadline, started + most_seconds))
                told = {name.lower(): value for name, value in response.getheaders()}
                return Answer(response.status, url, body, time.monotonic() - started, told)
            finally:
                connection.close()
        raise StageError("http", f"more than {REDIRECTS} redirects")

    def connect(self, url: str) -> http.client.HTTPConnection:
        """A connection to the server of that address, encrypted where it says https. Raises StageError."""
        parts = urlsplit(url)
        host, port = host_and_port(parts)
        proxy = self.proxy_for(parts)
        timings = self.timings
        if proxy:
            connection = self._through(proxy, parts, host, port)
        else:
            started = time.monotonic()
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                raise StageError("name", f"the name `{host}` is not resolved: {words(error)}") from error
            timings.resolve = _first(timings.resolve, started)
            connection = http.client.HTTPConnection(host, port, timeout=self._limit())
            connection.sock = self._socket(f"{host}:{port}", found)
        if parts.scheme == "https":
            self._encrypt(connection, host, port)
        return connection

    def _socket(self, server: str, found: Sequence[Any]) -> socket.socket:
        """A connection to the first address that answers, tried in the system's order as the libraries do."""
        timings, lost = self.timings, 0.0
        for position, (family, kind, protocol, _, address) in enumerate(found[:ADDRESSES]):
            last = position + 1 == min(len(found), ADDRESSES)
            limit = self._limit() if last else min(FALLBACK_SECONDS, self._limit())
            started = time.monotonic()
            one = socket.socket(family, kind, protocol)
            one.settimeout(limit)
            try:
                one.connect(address)
            except OSError as error:
                one.close()
                lost += time.monotonic() - started
                timings.fallback_family = timings.fallback_family or (
                    "IPv6" if family == socket.AF_INET6 else "IPv4"
                )
                if last:
                    stage = "timeout" if isinstance(error, socket.timeout) else "connection"
                    raise StageError(stage, f"no connection to {server}: {words(error)}") from error
                continue
            timings.connect = _first(timings.connect, started)
            timings.fallback = max(timings.fallback, lost)
            one.settimeout(self._limit())
            return one
        raise StageError("name", f"no address of {server} is known")

    def proxy_for(self, parts: SplitResult) -> str:
        """The proxy's address for that server, or nothing: the program's own, else *_proxy less no_proxy."""
        known = proxies(self.environ)
        host = parts.hostname or ""
        if without_proxy(host, known.get("no", "")):
            return ""
        found = self.proxy or known.get(parts.scheme) or known.get("all") or ""
        return found if "://" in found or not found else f"http://{found}"

    def _through(self, proxy: str, parts: SplitResult, host: str, port: int) -> http.client.HTTPConnection:
        way = urlsplit(proxy)
        self.timings.proxy = proxy
        if way.scheme != "http":
            raise StageError("unmeasured", f"a proxy of the kind {way.scheme} cannot be measured")
        name, number = host_and_port(way)
        connection = http.client.HTTPConnection(name, number, timeout=self._limit())
        if parts.scheme == "https":
            connection.set_tunnel(host, port, headers=authorization(way, "Proxy-Authorization"))
        started = time.monotonic()
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            told = f"the proxy {name}:{number} does not connect: {words(error)}"
            raise StageError(proxy_stage(error), told) from error
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
            raise StageError(tls_stage(error), f"no TLS with {host}: {words(error)}") from error
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
        except OSError as error:  # it hung up
            raise StageError("closed", f"no answer: {words(error)}") from error
        except (http.client.HTTPException, ValueError) as error:
            raise StageError("http", f"what it answers is no HTTP: {words(error)}") from error
        self.timings.latency = _first(self.timings.latency, started)
        if self.timings.skew is None:
            self.timings.skew = _skew(response)
        return response, started

    def _limit(self) -> float:
        left = self.deadline - time.monotonic()
        if left < 1.0:
            raise StageError("unmeasured", "the others took all the time there was")
        return min(STEP_SECONDS, left)


def _skew(response: http.client.HTTPResponse) -> Optional[float]:
    """Seconds by which the server's clock is ahead of this one; a cache's answer is as old as its Age says."""
    try:
        told = email.utils.parsedate_to_datetime(response.getheader("Date") or "")
        age = int(response.getheader("Age") or 0)
    except (TypeError, ValueError):
        return None
    if told is None or told.tzinfo is None:  # "-0000" tells no zone
        return None
    return told.timestamp() + age - time.time()


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


def _first(known: Optional[float], started: float) -> float:
    """The first connection's seconds; a redirect's do not replace them."""
    return time.monotonic() - started if known is None else known
