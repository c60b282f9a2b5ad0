"""Children of the target interpreter that run the pipeline, and what they leave."""

import json
import os
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

LAUNCH = Path(find_spec("envdoc.train").origin).parent / "launch.py"
LIMIT_SECONDS = 300
# Where encoded rows are kept: not in the home of whoever runs the tests, and gone at the end.
HOME = tempfile.TemporaryDirectory(prefix="envdoc-tests-home-")


def environment():
    """The caller's environment with a home of the tests' own, on one thread: tiny models do not need more."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "OMP_NUM_THREADS": "1", "TERM": "xterm", "ENVDOC_HOME": HOME.name}


def quick(words):
    """The words of a command, without the fresh process at a run's end unless they ask for it themselves.

    It costs as much as the run of a tiny model; the tests that are about it pay.
    """
    words = [str(word) for word in words]
    asked = words[:1] != ["train"] or any(word.startswith("proof=") for word in words)
    return words if asked else [*words, "proof=same"]


def child(python, arguments, cwd):
    """A finished child process of the target interpreter."""
    if arguments[0] == LAUNCH:
        arguments = [LAUNCH, *quick(arguments[1:])]
    return subprocess.run(
        [str(python), *map(str, arguments)],
        cwd=str(cwd),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def started(python, words, cwd, **options):
    """A child process of launch.py that runs on."""
    command = [str(python), str(LAUNCH), *quick(words)]
    return subprocess.Popen(command, cwd=str(cwd), env=environment(), **options)


def receipt(run_folder):
    """The receipt of a finished run."""
    return json.loads((Path(run_folder) / "adapter" / "envdoc-receipt.json").read_text(encoding="utf-8"))


def losses(run_folder):
    """Every (step, loss) of a finished run."""
    return receipt(run_folder)["training"]["losses"]


def ranks_of(launcher):
    """The process ids of a launcher's ranks, in order of their birth."""
    listed = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()
    return [int(pid) for pid in listed if b"rank" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")]


def wait_for(path, process):
    """Until the path is there; fails where the run ends first."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not path.exists():
        assert process.poll() is None, f"The run ended before {path.name} was there."
        assert time.monotonic() < deadline
        time.sleep(0.02)
