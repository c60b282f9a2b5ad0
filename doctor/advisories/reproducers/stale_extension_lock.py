"""A build that was killed has left its lock: the next one waits without a word, until the lock is gone."""

import subprocess
import sys
import time
from pathlib import Path

from _verdict import finish

if "--load" in sys.argv:
    from torch.utils import cpp_extension

    Path("ready").write_text("")
    cpp_extension.load("thing", ["thing.cpp"], build_directory="build")

Path("build").mkdir(exist_ok=True)
Path("thing.cpp").write_text("int thing() { return 1; }\n")
Path("build/lock").write_text("")
loading = subprocess.Popen(
    [sys.executable, __file__, "--load"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
)


def ends_within(seconds: float) -> bool:
    """Whether the child has ended by then; it ends with an error, since nobody built what it waits for."""
    try:
        return loading.wait(seconds) is not None
    except subprocess.TimeoutExpired:
        return False


began = time.monotonic()
while not Path("ready").exists() and time.monotonic() - began < 20 and not ends_within(0.1):
    pass
stuck = not ends_within(4)
Path("build/lock").unlink()
went_on = ends_within(10)
loading.kill()
finish(
    stuck and went_on, f"load() waited for the lock: {stuck}; it went on when the lock was removed: {went_on}"
)
