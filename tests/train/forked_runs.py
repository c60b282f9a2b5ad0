"""Runs of launch.py forked from one process that has imported the libraries: importing them takes 4 s each time.

Each run is a process of its own, with its own folder, environment and signals; SIGKILL kills it for real. What a
fork cannot show (the first import, a terminal) is tested with `child` and `started` of train_children.py.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

from train_children import LAUNCH, LIMIT_SECONDS, environment, quick

# Requests come as lines on stdin; {"pid"} is told when a run has started, {"pid", "code"} when it has ended.
SERVER = """
import gc, json, os, runpy, select, signal, sys, traceback

sys.path.insert(0, os.path.dirname(sys.argv[1]))  # as Python does for a script
launch = runpy.run_path(sys.argv[1])
launch["prepare_process"]()
launch["make_importable"]()
from envdoc.train.libraries import load_libraries
load_libraries()
import transformers
transformers.LlamaForCausalLM  # its module is imported when it is first named
gc.freeze()


def run(told):
    os.chdir(told["cwd"])
    os.environ.clear()
    os.environ.update(told["environ"])
    os.dup2(os.open(told["in"], os.O_RDONLY), 0)
    os.dup2(os.open(told["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 1)
    os.dup2(os.open(told["err"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    sys.argv = [sys.argv[1], *told["words"]]
    text = told.get("text")
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w", closefd=False), open(2, "w", closefd=False)
    try:
        if text:
            exec(compile(text, "inside", "exec"), {"__name__": "inside", "json": json, "os": os, "sys": sys})
            return 0
        return launch["main"](told["words"]) or 0
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 70


def tell(event):
    os.write(1, (json.dumps(event) + "\\n").encode())


awake, wake = os.pipe()
os.set_blocking(awake, False)
os.set_blocking(wake, False)
signal.set_wakeup_fd(wake)
signal.signal(signal.SIGCHLD, lambda number, frame: None)
signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C at pytest is pytest's
requests = sys.stdin.buffer.raw
tell({"ready": True})
unread = b""
while True:
    ready, _, _ = select.select([requests, awake], [], [])
    if awake in ready:
        os.read(awake, 4096)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            tell({"pid": pid, "code": code})
    if requests in ready:
        block = os.read(requests.fileno(), 65536)
        if not block:
            sys.exit()
        unread += block
        while b"\\n" in unread:
            line, unread = unread.split(b"\\n", 1)
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                code = run(json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
            tell({"pid": pid})
"""


class Run:
    """One run: what subprocess.Popen tells of a process, and its outputs."""

    def __init__(self, pid, words, folder):
        self.pid, self.words, self.folder = pid, words, folder
        self.returncode = None
        self.ended = threading.Event()

    def poll(self):
        """The exit status, negative for a signal; None while it runs."""
        return self.returncode

    def wait(self, timeout=LIMIT_SECONDS):
        """The exit status, once there is one."""
        if not self.ended.wait(timeout):
            self.send_signal(signal.SIGKILL)
            raise subprocess.TimeoutExpired(self.words, timeout)
        return self.returncode

    def send_signal(self, number):
        """Send it, unless the run has ended."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    @property
    def stdout(self):
        """What it printed so far."""
        return (self.folder / "out").read_text(encoding="utf-8")

    @property
    def stderr(self):
        """What it told on stderr so far."""
        return (self.folder / "err").read_text(encoding="utf-8")


class ForkedRuns:
    """The process that has imported the libraries, and the runs that came of it."""

    def __init__(self, python):
        self.outputs = tempfile.TemporaryDirectory(prefix="envdoc-runs-")
        self.count = 0
        self.events = []
        self.arrived = threading.Condition()
        self.runs = {}
        self.server = subprocess.Popen(
            [str(python), "-c", SERVER, str(LAUNCH)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()
        self._next(lambda event: event.get("ready"), LIMIT_SECONDS)

    def start(self, words, cwd, environ=None, text=None, stdin=None):
        """A run that goes on by itself; `environ` replaces the whole environment, `text` runs in place of launch.py."""
        self.count += 1
        folder = Path(self.outputs.name) / str(self.count)
        folder.mkdir()
        (folder / "in").write_text(stdin or "", encoding="utf-8")
        told = {
            "words": quick(words),
            "cwd": str(cwd),
            "environ": environ or environment(),
            "text": text,
            "in": str(folder / "in"),
            "out": str(folder / "out"),
            "err": str(folder / "err"),
        }
        self.server.stdin.write((json.dumps(told) + "\n").encode())
        self.server.stdin.flush()
        event = self._next(lambda event: "pid" in event and "code" not in event, LIMIT_SECONDS)
        run = Run(event["pid"], told["words"], folder)
        with self.arrived:
            self.runs[run.pid] = run
            self._settle()
        return run

    def finish(self, words, cwd, environ=None, text=None, stdin=None, timeout=LIMIT_SECONDS):
        """A run from its start to its end, as subprocess.run tells it."""
        run = self.start(words, cwd, environ, text, stdin)
        code = run.wait(timeout)
        return subprocess.CompletedProcess(run.words, code, run.stdout, run.stderr)

    def close(self):
        """End the server and whatever still runs."""
        for run in self.runs.values():
            run.send_signal(signal.SIGKILL)
        self.server.stdin.close()
        self.server.wait(30)
        self.server.stdout.close()
        self.outputs.cleanup()

    def _listen(self):
        for line in self.server.stdout:
            with self.arrived:
                self.events.append(json.loads(line))
                self._settle()
                self.arrived.notify_all()

    def _settle(self):
        """Hand the ends that have come to their runs. An end may come before its start was taken up."""
        left = []
        for event in self.events:
            run = self.runs.get(event.get("pid")) if "code" in event else None
            if run is None:
                left.append(event)
                continue
            del self.runs[run.pid]  # the number may be used again
            run.returncode = event["code"]
            run.ended.set()
        self.events = left

    def _next(self, wanted, seconds):
        deadline = time.monotonic() + seconds
        with self.arrived:
            while True:
                for event in self.events:
                    if wanted(event):
                        self.events.remove(event)
                        return event
                assert self.server.poll() is None, "The process that runs are forked from has ended."
                assert self.arrived.wait(deadline - time.monotonic()) or time.monotonic() < deadline
