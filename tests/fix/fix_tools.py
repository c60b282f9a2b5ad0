"""A tiny profile of real wheels, made here: the transaction is the same as with torch, and takes seconds."""

import hashlib
import http.server
import subprocess
import sys
import threading
import time
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

    def __init__(self, folder):
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

    def plan(self, profile, installer="pip"):
        """The plan that builds this profile with the Python that runs the tests."""
        choice = choose(Snapshot(), [Python(MINOR, BASE, sys.version.split()[0])], [profile])
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
    back each 20 kB of a wheel.
    """

    def __init__(self, wheels, spoil=None, seconds_a_block=0.0, only=None):
        super().__init__(daemon=True)
        index = self
        self.requests = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                parts = self.path.strip("/").split("/")
                if parts[0] == "simple":
                    name = parts[1] if len(parts) > 1 else ""
                    files = [path for path in sorted(wheels.glob(f"{name}-*.whl")) if name]
                    rows = "".join(f'<a href="/files/{p.name}">{p.name}</a>' for p in files)
                    return self.send(f"<html><body>{rows}</body></html>".encode(), "text/html")
                body = (wheels / parts[1]).read_bytes()
                index.requests.append(parts[1])
                count = index.requests.count(parts[1])
                sent = spoil(parts[1], body, count) if spoil else body
                return self.send(sent, "application/octet-stream")

            def do_HEAD(self):
                self.send_error(405)

            def send(self, body, kind):
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                for start in range(0, len(body), 20_000):
                    self.wfile.write(body[start : start + 20_000])
                    self.wfile.flush()
                    if kind != "text/html":
                        time.sleep(seconds_a_block)

            def log_message(self, *arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"
        self.start()

    def run(self):
        self.server.serve_forever()


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
