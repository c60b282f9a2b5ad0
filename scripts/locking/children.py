"""The programs that locking runs, and the environment that they run in: the caller's pip configuration counts only
for the index and its certificates, since a file or a constraint of this one machine must not get into a lock."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Optional

TIME_LIMIT_SECONDS = 1800  # pip-tools on Python 3.8 and a slow mirror took 400
UV = Path(sys.executable).parent / "uv"


class LockError(Exception):
    """Why no lock is written: one message, ready to print."""


def environment() -> Dict[str, str]:
    """The caller's variables without the settings that would tie a lock to this machine."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if key
        not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT", "UV_FIND_LINKS", "PYTHONPATH")
    }
    kept.update(PIP_CONFIG_FILE=os.devnull, UV_NO_CONFIG="1", UV_PYTHON_DOWNLOADS="never")
    kept.setdefault(
        "OMP_NUM_THREADS", "1"
    )  # on a busy machine the tiny model's threads only wait for each other
    index = _index()
    kept.update({"PIP_INDEX_URL": index} if index else {})
    return kept


def index_arguments() -> List[str]:
    """pip's own index as uv's argument; nothing where pip uses its default."""
    index = _index()
    return ["--default-index", index] if index else []


def run(*argv: object, cwd: Optional[Path] = None, **variables: str) -> str:
    """The standard output of a child. Raises LockError with the end of what it said where it fails or hangs."""
    command = [str(word) for word in argv]
    try:
        process = subprocess.Popen(
            command,
            env={**environment(), **variables},
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that its own children can be ended with it
        )
    except OSError as error:
        raise LockError(f"`{command[0]}` could not be started: {error}.") from None
    try:
        out, err = process.communicate(timeout=TIME_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise LockError(f"`{' '.join(command)}` did not end in {TIME_LIMIT_SECONDS} s.") from None
    finally:
        if process.poll() is None:  # out of time, or Ctrl-C
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        told = (out + err).strip()[-3000:]
        raise LockError(f"`{' '.join(command)}` failed with status {process.returncode}.\n{told}")
    return out


def uv(*words: object) -> str:
    """uv of the environment that runs this script, else of PATH, with pip's index."""
    program = UV if UV.exists() else Path("uv")
    return run(program, *words, *([] if "check" in words else index_arguments()))


_known: List[str] = []


def _index() -> str:
    if not _known:
        told = subprocess.run(
            [sys.executable, "-m", "pip", "config", "get", "global.index-url"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        _known.append(os.environ.get("PIP_INDEX_URL") or told.stdout.strip())
    return _known[0]
