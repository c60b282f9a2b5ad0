"""One rank as a process: where its output goes, what it leaves about its end, and how it learns of another's.

Only rank 0 speaks. What the others print goes into a file, of which the launcher shows the end where a rank was
killed in mid-sentence. A rank that fails says so in the store; a thread of each other rank looks there every second
and ends its process, which may hang in a sum that will never come (NCCL waits ten minutes). A checkpoint that is
being written then is cut off, which is why checkpoints are written beside their place and renamed.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Optional

from envdoc.train.errors import TrainError
from envdoc.train.parallel import notes
from envdoc.train.parallel.notes import CUT_OFF, UNFORESEEN, Note

LOOK_SECONDS = 1.0
LINGER_SECONDS = 10.0  # a failed rank waits this long for the others to have read why
FAILED, SEEN = "failed", "failed/seen"

_store: Optional[Any] = None
_size = 1
_over = threading.Event()
_watcher: Optional[threading.Thread] = None


def output_of(rank: int) -> str:
    """The file, in the folder of notes, that holds what a rank other than 0 printed."""
    return f"output-{rank}.txt"


def run(command: Callable[[], int]) -> int:
    """Run a rank's command; its exit code, for the launcher. Failures become notes."""
    try:
        return _run(command)
    finally:
        _stop_watching()


def _run(command: Callable[[], int]) -> int:
    rank, folder = int(os.environ["RANK"]), Path(os.environ[notes.FOLDER])
    if rank != 0:
        _speak_into(folder / output_of(rank))
    try:
        code = command()
        from envdoc.train.parallel.join import leave

        leave()
        return code
    except TrainError as error:
        note = Note(
            rank, socket.gethostname(), error.exit_code, error.message, error.hint, type(error).__name__
        )
    except KeyboardInterrupt:
        message = "Stopped; nothing that was saved before is lost."
        note = _note(rank, 130, message, "Checkpoints there are go on with --resume.")
    except MemoryError:
        message = "This machine has not enough memory for the run."
        note = _note(rank, 2, message, "Try a smaller model or `model.quantization`.")
    except BaseException as error:
        text = traceback.format_exc()
        if _is_lost_connection(error):
            note = _note(rank, CUT_OFF, f"The connection to another rank broke: {_first_line(error)}.", None)
        else:
            words = _unforeseen(error)
            note = Note(rank, socket.gethostname(), UNFORESEEN, words, _UNFORESEEN_HINT, traceback=text)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the agent ends all ranks when one has ended
    return _end(folder, note)


def _end(folder: Path, note: Note) -> int:
    """Leave the note, tell the others, and give the exit code."""
    first = _claim(note)
    same = first is not None and note.kind != "" and first.kind == note.kind
    if first is not None and (same or note.exit_code == CUT_OFF):
        notes.write(folder, f"other-{note.rank}", first)
        return first.exit_code
    notes.write(folder, f"own-{note.rank}", note)
    _linger()
    return note.exit_code


def watch(store: Any, rank: int, size: int) -> None:
    """From now on end this process where another rank has failed."""
    from torch.distributed import TCPStore

    global _store, _size, _watcher
    _store, _size = store, size
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    from torch.distributed import PrefixStore

    # A connection of its own: a wait of the main thread would block it.
    own = PrefixStore("envdoc", TCPStore(host, port, is_master=False, wait_for_workers=False))
    _watcher = threading.Thread(target=_look, args=(own, rank), name="envdoc-watch", daemon=True)
    _watcher.start()


def _stop_watching() -> None:
    """Before the interpreter is taken down: a thread that comes out of the store's C++ then ends the process by
    SIGABRT ("terminate called without an active exception")."""
    _over.set()
    if _watcher is not None:
        _watcher.join(3 * LOOK_SECONDS)


def _look(store: Any, rank: int) -> None:
    folder = Path(os.environ[notes.FOLDER])
    while not _over.wait(LOOK_SECONDS):
        try:
            if not store.check([FAILED]):
                continue
            first = Note(**json.loads(store.get(FAILED).decode()))
            if first.rank == rank:
                return
            time.sleep(LOOK_SECONDS)  # this rank may be about to tell the same, or another, failure itself
            notes.write(folder, f"other-{rank}", first)
            store.add(SEEN, 1)
        except RuntimeError:  # rank 0 is gone, and its store with it: the main thread finds out by itself
            return
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(first.exit_code)


def _claim(note: Note) -> Optional[Note]:
    """Write this failure down as the first one; where another was there before it, return that."""
    if _store is None:
        return None
    try:
        if (
            note.rank != 0
        ):  # where all stop together, rank 0 speaks; a broken connection follows from something else
            deadline = time.monotonic() + 2 * LOOK_SECONDS
            while not _store.check([FAILED]) and time.monotonic() < deadline:
                time.sleep(0.1)
        if note.exit_code == CUT_OFF and not _store.check([FAILED]):
            return None
        first = Note(**json.loads(_store.compare_set(FAILED, "", json.dumps(asdict(note))).decode()))
        if first == note:
            return None
        _store.add(SEEN, 1)
        return first
    except RuntimeError:  # the store went with rank 0
        return None


def _linger() -> None:
    """Stay until the others have read why: with rank 0 the store goes."""
    deadline = time.monotonic() + LINGER_SECONDS
    try:
        while _store is not None and time.monotonic() < deadline and _store.add(SEEN, 0) < _size - 1:
            time.sleep(0.1)
    except RuntimeError:
        pass


def _speak_into(path: Path) -> None:
    """Both outputs of this process, those of C libraries too, go into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(str(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _note(rank: int, code: int, message: str, hint: Optional[str]) -> Note:
    return Note(rank, socket.gethostname(), code, message, hint)


def _is_lost_connection(error: BaseException) -> bool:
    """True for what gloo, NCCL and the store raise where another rank went away."""
    import torch.distributed as dist

    kinds = tuple(
        getattr(dist, name)
        for name in ("DistBackendError", "DistNetworkError", "DistStoreError", "DistError")
        if hasattr(dist, name)
    )
    text = str(error)
    told = (
        "Connection closed by peer",
        "Connection reset by peer",
        "Broken pipe",
        "Connection refused",
        "gloo",
    )
    return isinstance(error, kinds) or (
        isinstance(error, RuntimeError) and any(part in text for part in told)
    )


def _unforeseen(error: BaseException) -> str:
    return f"envdoc or a library failed in a way that is not foreseen: {type(error).__name__}: {_first_line(error)}."


_UNFORESEEN_HINT = "`envdoc why` reads such a traceback; checkpoints there are go on with --resume."


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else "no words"
