"""A tiny profile of real wheels, made here: the transaction is the same as with torch, and takes seconds."""

import base64
import hashlib
import http.server
import json as jsonlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Check, Kind, Severity, Status
from envdoc.doctor.fix.choose import choose
from envdoc.doctor.fix.plan import make_plan
from envdoc.doctor.fix.profiles import load_profiles
from envdoc.doctor.fix.pythons import Python

MINOR = "%d.%d" % sys.version_info[:2]  # noqa: UP031
BASE = getattr(sys, "_base_executable", sys.executable)


def make_wheel(folder, name, version, requires=(), filler=b""):
    """A real wheel with one module, and its sha256."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {line}\n" for line in requires)
    files = {
        f"{name}/__init__.py": f"VERSION = {version!r}\n".encode(),
        f"{name}/filler.bin": filler,
        f"{info}/METADATA": metadata.encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(str(path), "w") as archive:
        for file, content in files.items():
            archive.writestr(file, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bare_venv(folder):
    """A virtual environment without pip, in a twentieth of the time; its site-packages."""
    subprocess.run([BASE, "-m", "venv", "--without-pip", str(folder)], check=True)
    return next(folder.glob("lib/python*/site-packages"))


class Shop:
    """A folder of wheels, and profiles over them."""

    def __init__(self, folder, python=BASE):
        self.python = str(python)
        self.wheels = folder / "wheels"
        self.locks = folder / "locks"
        self.wheels.mkdir()
        self.locks.mkdir()
        self.hashes = {
            "alpha": make_wheel(self.wheels, "alpha", "1.0", requires=["beta>=2"]),
            "beta": make_wheel(self.wheels, "beta", "2.0", filler=bytes(200_000)),
        }

    def profile(self, name="tiny", hashes=None, extra="", lines=()):
        """A profile of alpha and beta, or of the given requirement lines; written to disk and loaded again."""
        told = dict(self.hashes, **(hashes or {}))
        pins = lines or [
            f"alpha==1.0 --hash=sha256:{told['alpha']}",
            f"beta==2.0 --hash=sha256:{told['beta']}",
        ]
        (self.locks / f"{name}.txt").write_text("\n".join(["--only-binary :all:", *pins]) + "\n")
        (self.locks / "profiles.toml").write_text(
            f'[{name}]\ntitle = "a tiny stack"\npython = "{MINOR}"\ntorch = "1.0"\ncuda = ""\nglibc = "2.1"\n'
            f'download_bytes = 200_000\nvenv_bytes = 30_000_000\ndate = "2026-11-24"\nprobe = "none"\n{extra}\n'
        )
        return load_profiles(self.locks)[0]

    def interpreter(self):
        """The Python that environments are made with."""
        return Python(MINOR, self.python, sys.version.split()[0])

    def plan(self, profile, installer="pip"):
        """The plan that builds this profile with the Python that runs the tests."""
        choice = choose(Snapshot(), [self.interpreter()], [profile])
        return make_plan([], choice, Snapshot(), installer=installer)


def check(
    severity=Severity.ERROR,
    kind=Kind.LIBRARY,
    status=Status.FAIL,
    code="TOR001",
    new_environment=False,
    **more,
):
    """A check that failed, as a rule would return it."""
    return Check(
        code,
        "a-rule",
        status,
        severity,
        kind,
        f"title of {code}",
        needs_new_environment=new_environment,
        **more,
    )


class Index(threading.Thread):
    """A package index on this machine that serves `wheels`, as a test wants it: slowly, cut short, or altered.

    `spoil(path, body, count)` returns what is sent for the count-th request of a wheel; `seconds_a_block` holds
    back each 20 kB of a wheel. `answer(file, count)` may return (status, headers, body) instead of the wheel.
    `cut(file, count)` is the number of bytes after which the connection is closed, or None. `ranges` honours Range
    (each asked-for range is in `asked`), `hashes` puts them into the pages, `json` gives PEP 691 pages, `user` is
    the `name:password` that it demands, `metadata` promises metadata files that are not there (404), `relative`
    writes relative addresses, `tls` is (certificate, key). Every path asked for is in `paths`.
    """

    def __init__(
        self,
        wheels,
        spoil=None,
        seconds_a_block=0.0,
        only=None,
        answer=None,
        cut=None,
        ranges=False,
        hashes=False,
        json=False,
        user=None,
        metadata=False,
        relative=False,
        tls=None,
    ):
        super().__init__(daemon=True)
        index = self
        self.requests, self.asked, self.paths = [], [], []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                index.paths.append(self.path)
                if (
                    user
                    and self.headers.get("Authorization")
                    != "Basic " + base64.b64encode(user.encode()).decode()
                ):
                    return self.send(b"who?", "text/plain", 401, {"WWW-Authenticate": 'Basic realm="x"'})
                parts = self.path.strip("/").split("/")
                if parts[0] == "simple":
                    return self.page(parts[1] if len(parts) > 1 else "")
                if not (wheels / parts[-1]).is_file():
                    return self.send(b"", "text/plain", 404)
                body = (wheels / parts[-1]).read_bytes()
                index.requests.append(parts[-1])
                count = index.requests.count(parts[-1])
                instead = answer(parts[-1], count) if answer else None
                if instead:
                    return self.send(instead[2], instead[1].pop("Content-Type", "text/plain"), *instead[:2])
                sent = spoil(parts[-1], body, count) if spoil else body
                limit = cut(parts[-1], count) if cut else None
                asked = self.headers.get("Range")
                if ranges and asked:
                    start = int(asked[len("bytes=") :].partition("-")[0])
                    index.asked.append((parts[-1], start))
                    if start >= len(sent):
                        return self.send(b"", "text/plain", 416, {"Content-Range": f"bytes */{len(sent)}"})
                    told = {"Content-Range": f"bytes {start}-{len(sent) - 1}/{len(sent)}"}
                    return self.send(sent[start:], "application/octet-stream", 206, told, limit)
                return self.send(sent, "application/octet-stream", limit=limit)

            def page(self, name):
                stem = name.replace("-", "[-_.]")
                files = [
                    path for path in sorted(wheels.glob("*.whl")) if re.match(rf"{stem}-\d", path.name, re.I)
                ]
                digests = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if hashes}
                base = "../../files/" if relative else "/files/"
                if json:
                    listed = [
                        {
                            "filename": path.name,
                            "url": base + path.name,
                            "hashes": {"sha256": digests[path]} if hashes else {},
                            "size": path.stat().st_size,
                        }
                        for path in files
                    ]
                    text = jsonlib.dumps({"meta": {"api-version": "1.1"}, "name": name, "files": listed})
                    return self.send(text.encode(), "application/vnd.pypi.simple.v1+json")
                more = ' data-dist-info-metadata="true" data-core-metadata="true"' if metadata else ""
                rows = "".join(
                    f'<a href="{base}{p.name}{"#sha256=" + digests[p] if hashes else ""}"{more}>{p.name}</a>'
                    for p in files
                )
                return self.send(f"<html><body>{rows}</body></html>".encode(), "text/html")

            def do_HEAD(self):
                self.send_error(405)

            def send(self, body, kind, status=200, headers=(), limit=None):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in dict(headers).items():
                    self.send_header(name, value)
                self.end_headers()
                body = body[:limit]
                try:
                    for start in range(0, len(body), 20_000):
                        self.wfile.write(body[start : start + 20_000])
                        self.wfile.flush()
                        if not kind.startswith("text/"):
                            time.sleep(seconds_a_block)
                except OSError:  # the client went away
                    pass
                if limit is not None:
                    self.close_connection = True

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.address = f"http{'s' if tls else ''}://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.address}/simple"
        self.start()

    def run(self):
        self.server.serve_forever()


class Proxy(threading.Thread):
    """A small forward proxy on this machine: GET of whole addresses, and CONNECT; what was asked is in `lines`."""

    def __init__(self):
        super().__init__(daemon=True)
        proxy = self
        self.lines = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                proxy.lines.append(f"GET {self.path}")
                try:
                    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                    kept = {"Accept": self.headers.get("Accept", "*/*")}
                    with opener.open(urllib.request.Request(self.path, headers=kept), timeout=20) as answer:
                        status, told, body = answer.status, answer.headers, answer.read()
                except urllib.error.HTTPError as error:
                    status, told, body = error.code, error.headers, error.read()
                self.send_response(status)
                self.send_header("Content-Type", told.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_CONNECT(self):
                proxy.lines.append(f"CONNECT {self.path}")
                host, _, port = self.path.partition(":")
                with socket.create_connection((host, int(port)), timeout=20) as there:
                    self.send_response(200)
                    self.end_headers()
                    threading.Thread(target=_pump, args=(there, self.connection), daemon=True).start()
                    _pump(self.connection, there)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.start()

    def run(self):
        self.server.serve_forever()


def _pump(source, target):
    try:
        for block in iter(lambda: source.recv(65536), b""):
            target.sendall(block)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def holders(folder: Path):
    """Processes whose command line names that folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
