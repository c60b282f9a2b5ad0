"""A package index, a model hub and a proxy on loopback, as slow, closed or secretive as a test wants them."""

import email.utils
import json
import socket
import ssl
import subprocess
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

WHEEL_BYTES = 3_000_000
PAGE = """<!DOCTYPE html><html><body>
<a href="/files/pip-1.0.tar.gz#sha256=0">pip-1.0.tar.gz</a>
<a href="/files/pip-1.0-py3-none-any.whl#sha256=0">pip-1.0-py3-none-any.whl</a>
<a href="../../files/pip-2.0-py3-none-any.whl?v=1&amp;w=2#sha256=0" data-requires-python="&gt;=3.8">pip-2.0</a>
</body></html>"""


class Handler(BaseHTTPRequestHandler):
    """Answers /simple/pip/, files and models; `server.behaviour` says how."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """One answer in the server's manner."""
        server = self.server
        server.seen.append((self.path, dict(self.headers)))
        if server.behaviour == "hang":
            server.closing.wait(60)
            return None
        if server.behaviour == "hang up":
            return self.connection.shutdown(socket.SHUT_RDWR)
        if server.behaviour == "garbage":
            self.close_connection = True
            return self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        if server.behaviour == "drip":  # a byte a second, for ever: no single read ever times out
            while not server.closing.wait(1):
                self.wfile.write(b"H")
            return None
        if isinstance(server.behaviour, int):
            return self._send(server.behaviour, b"no")
        if self.path.startswith("http://"):  # somebody takes us for a proxy
            self.path = "/" + self.path.split("/", 3)[3]
        if self.path == "/simple/pip/":
            return self._send(200, (server.page or PAGE).encode())
        if self.path.startswith("/api/"):
            return self._api(self.path.partition("?")[0])
        if self.path.endswith("/resolve/main/config.json"):
            return self._config(self.path[1:].partition("/resolve/")[0])
        if self.path.startswith("/models-moved/"):
            return self._send(200, bytes(server.size))
        if self.path.endswith("model.safetensors"):
            return self._send(302, b"", Location="/models-moved/" + "x")
        if self.path.startswith("/files/pip-2.0-py3-none-any.whl"):
            return self._send(206 if "Range" in self.headers else 200, bytes(server.size))
        return self._send(404, b"no such page")

    def do_CONNECT(self):
        """Tunnel to whatever is asked for, or refuse it."""
        self.server.seen.append((self.path, dict(self.headers)))
        if self.server.behaviour in (407, 502):
            self.close_connection = True
            return self._send(self.server.behaviour, b"")
        host, _, port = self.path.rpartition(":")
        other = socket.create_connection((host, int(port)), timeout=10)
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = Thread(target=pump, args=(other, self.connection), daemon=True)
        back.start()
        pump(self.connection, other)
        back.join(10)
        self.close_connection = True
        return None

    def _api(self, path):
        """A hub's list of files, with sizes, and its `whoami`."""
        server, sent = self.server, self.headers.get("Authorization", "")
        if path == "/api/whoami-v2":
            return self._json({"name": "somebody"} if sent == f"Bearer {server.token}" else None, 401)
        name = path[len("/api/models/") :]
        model = server.models.get(name)
        if model is None:
            return self._send(404, b"{}", **{"X-Error-Code": "RepoNotFound"})
        listed = [{"rfilename": file, "size": size} for file, size in model["files"].items()]
        return self._json({"id": name, "gated": model.get("gated", False), "siblings": listed})

    def _config(self, name):
        model = self.server.models.get(name)
        if (
            model
            and model.get("gated")
            and self.headers.get("Authorization") != f"Bearer {self.server.token}"
        ):
            status = 403 if "Authorization" in self.headers else 401
            return self._send(status, b"{}", **{"X-Error-Code": "GatedRepo"})
        return self._json(model and model.get("config"))

    def _json(self, value, otherwise=404):
        return self._send(200 if value is not None else otherwise, json.dumps(value or {}).encode())

    def date_time_string(self, timestamp=None):
        """The Date header, by the server's own clock."""
        return email.utils.formatdate(time.time() + self.server.skew_seconds, usegmt=True)

    def _send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        rate = self.server.bytes_per_second
        if not rate:
            return self.wfile.write(body)
        started = time.monotonic()
        for sent in range(0, len(body), rate // 20):
            self.wfile.write(body[sent : sent + rate // 20])
            time.sleep(max(0.0, started + (sent + rate // 20) / rate - time.monotonic()))
        return None

    def log_message(self, *_):
        """Nothing."""


def pump(source, sink):
    """Bytes from one socket to the other until it ends."""
    try:
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


class Quiet(ThreadingHTTPServer):
    """A client that hangs up in the middle is no news."""

    daemon_threads = True

    def handle_error(self, *_):
        """Nothing."""


@contextmanager
def serving(behaviour="well", bytes_per_second=0, size=WHEEL_BYTES, certificate=None):
    """A server on loopback while the block lasts; `server.url` is its address, `server.seen` what it was asked."""
    server = lasting(behaviour, bytes_per_second, size, certificate)
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


def lasting(behaviour="well", bytes_per_second=0, size=WHEEL_BYTES, certificate=None):
    """The same, until the process ends."""
    server = Quiet(("127.0.0.1", 0), Handler)
    server.behaviour, server.bytes_per_second, server.size = behaviour, bytes_per_second, size
    server.seen, server.closing = [], Event()
    server.page, server.token, server.skew_seconds = "", None, 0
    server.models = {"openai-community/gpt2": {"files": {"model.safetensors": size}}}
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def self_signed(folder, days=1):
    """A key with a certificate of its own for 127.0.0.1, in one file."""
    path = folder / "own.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-days", str(days)]
    subprocess.run(
        [*command, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True,
        capture_output=True,
    )
    path.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return path


def closed_port():
    """A port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
