"""What several test processes share is made by one of them while the others wait."""

import contextlib
import fcntl
from pathlib import Path


@contextlib.contextmanager
def only_one(lock: Path):
    """Alone with what `lock` stands for. The lock goes with the process, however that ends."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
