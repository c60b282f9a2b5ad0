"""A package index on the loopback over a folder of wheels, that sends so many bytes a second to all connections."""

import hashlib
import http.server
import re
import threading
import time
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

_BLOCK_BYTES = 1 << 16


class SlowIndex:
    """Serves as soon as it is made, until the process ends. `url` is its simple index."""

    def __init__(self, wheels: Path, bytes_per_second: float) -> None:
        self.wheels, self.rate = wheels, bytes_per_second
        self._free_at = time.monotonic()
        self._lock = threading.Lock()
        self._digests: Dict[str, str] = {}
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}/simple"
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def wait_for(self, count_bytes: int) -> None:
        """Return when so many bytes may leave; the connections share the rate."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + count_bytes / self.rate
            until = self._free_at
        time.sleep(max(0.0, until - time.monotonic()))

    def page(self, name: str) -> str:
        """The simple page of one project, with the sha256 of each file."""
        files = [
            path for path in sorted(self.wheels.glob("*.whl")) if _normalised(path.name.split("-")[0]) == name
        ]
        return "".join(f'<a href="/files/{p.name}#sha256={self._digest(p)}">{p.name}</a>\n' for p in files)

    def _digest(self, path: Path) -> str:
        if path.name not in self._digests:
            digest = hashlib.sha256()
            with path.open("rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
            self._digests[path.name] = digest.hexdigest()
        return self._digests[path.name]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _range(header: Optional[str], size: int) -> Tuple[int, int]:
    """First byte and the one after the last, as a Range header asks."""
    told = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not told:
        return 0, size
    first, last = told.groups()
    if not first:
        return max(0, size - int(last or 0)), size
    return int(first), min(size, int(last) + 1 if last else size)


def _handler(index: SlowIndex) -> Any:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            kind, _, name = self.path.strip("/").partition("/")
            if kind == "simple":
                self.text(index.page(_normalised(name)))
            elif (index.wheels / Path(name).name).is_file():
                self.file(index.wheels / Path(name).name)
            else:
                self.send_error(404)

        def text(self, body: str) -> None:
            if not body:
                self.send_error(404)
                return
            data = f"<html><body>{body}</body></html>".encode()
            self.head(200, "text/html", len(data))
            self.wfile.write(data)

        def file(self, path: Path) -> None:
            size = path.stat().st_size
            first, end = _range(self.headers.get("Range"), size)
            part = (f"bytes {first}-{end - 1}/{size}",) if self.headers.get("Range") else ()
            self.head(206 if part else 200, "application/octet-stream", end - first, *part)
            if self.command == "HEAD":
                return
            with path.open("rb") as file:
                file.seek(first)
                left = end - first
                while left > 0:
                    block = file.read(min(_BLOCK_BYTES, left))
                    index.wait_for(len(block))
                    self.wfile.write(block)
                    left -= len(block)

        def head(self, status: int, kind: str, length: int, content_range: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
            self.send_header("Accept-Ranges", "bytes")
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler
