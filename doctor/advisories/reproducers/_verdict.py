"""How a reproducer says what it saw: one line of JSON, its last. Python 3.8 standard library only.

A reproducer is run as `PYTHON NAME.py` in an empty folder, with the packages of one proof before everything else on
PYTHONPATH. It shows the fault or its absence by running the library; an exception that it did not wait for is neither,
and fails the proof.
"""

import json
import re
import sys
from typing import Any, Callable, NoReturn


def finish(fault: bool, seen: str) -> NoReturn:
    """End with the verdict: whether the fault is there, and the one line that shows it."""
    print(json.dumps({"fault": fault, "seen": " ".join(str(seen).split())[:300]}))
    sys.stdout.flush()
    sys.exit(0)


def raises(action: Callable[[], Any], pattern: str) -> NoReturn:
    """The fault is that `action` raises what matches `pattern`; it is absent where nothing is raised.

    Another exception goes on, since it shows neither.
    """
    try:
        result = action()
    except BaseException as error:
        text = f"{type(error).__name__}: {error}"
        if re.search(pattern, text):
            finish(True, text)
        raise
    finish(False, f"no error; it gave {result!r}"[:200])
