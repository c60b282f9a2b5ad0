"""A hub of our own on this machine: one gated repository with a config.json, which a token opens."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CONFIG = json.dumps({"model_type": "gpt2", "n_layer": 1}).encode()


class Handler(BaseHTTPRequestHandler):
    """401 with the hub's own header without a token, the file with one."""

    def do_GET(self) -> None:
        opened = self.headers.get("Authorization") is not None
        body = CONFIG if opened else json.dumps({"error": "gated"}).encode()
        self.send_response(200 if opened else 401)
        if opened:
            self.send_header("ETag", '"0a"')
            self.send_header("X-Repo-Commit", "0" * 40)
        else:
            self.send_header("X-Error-Code", "GatedRepo")
            self.send_header("X-Error-Message", "Access to model our/model is restricted.")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def serve() -> None:
    """Start it in a thread and point huggingface_hub at it: before that is imported."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ.update(
        HF_ENDPOINT=f"http://127.0.0.1:{server.server_port}", HF_HUB_OFFLINE="0", TRANSFORMERS_OFFLINE="0"
    )
    os.environ.update(NO_PROXY="127.0.0.1", no_proxy="127.0.0.1", HF_HUB_DISABLE_XET="1")
