"""What a lock must have done before it is kept: every added package imports, and a LoRA adapter trains and verifies."""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Sequence

from envdoc.doctor.child import run
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.pip_config import last_line

STEPS = 15
SCRIPT = Path(__file__).with_name("_imports.py")
_IMPORT_SECONDS = 300.0
_TRAIN_SECONDS = 900.0


def import_all(python: str, names: Sequence[str], report: Callable[[str], None]) -> None:
    """Import each package in a child of its own. Raises FixError that names the package and its last line."""
    for name in names:
        done = run([python, str(SCRIPT), "import", name], _IMPORT_SECONDS, env=_environment(), cwd=os.sep)
        if done.ok:
            modules = json.loads(done.stdout.splitlines()[-1])["modules"]
            report(f"  {name} imports ({', '.join(modules) or 'it has no module'}).")
            continue
        how = "takes too long to import" if done.timed_out else "cannot be imported in the new environment"
        raise FixError(
            f"{name} {how}: {last_line(done.stderr or done.signal_name or '')} Nothing was switched.",
            f"Try another release of it (`envdoc lock '{name}<VERSION'`), or another profile with `--profile NAME`.",
        )


def train(python: str) -> str:
    """`envdoc train` for 15 steps of the built-in example; what it came to, in one sentence. Raises FixError."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="envdoc-lock-") as folder:
        arguments = [
            "train",
            "--python",
            python,
            "--skip-checks",
            f"output={folder}/run",
            f"train.steps={STEPS}",
        ]
        command = [sys.executable, "-m", "envdoc.doctor", *arguments]
        done = run(command, _TRAIN_SECONDS, cwd=folder)
    output = done.stdout + done.stderr
    losses = re.search(rf"^{STEPS} steps in .*; loss (\S+) -> (\S+?)\.$", output, re.MULTILINE)
    device = re.search(r"; \w+ on (.+)\.$", output, re.MULTILINE)
    if not done.ok or "Proved: " not in output or losses is None:
        limit = f"`envdoc train` did not end within {_TRAIN_SECONDS:.0f} s."
        raise FixError(
            "No adapter could be trained and verified in the new environment: "
            f"{limit if done.timed_out else last_line(_error(output))} Nothing was switched.",
            "Leave out the package that you added last, or take another release of it.",
        )
    where = device.group(1) if device else "this machine"
    return (
        f"envdoc train: {STEPS} steps on {where}, loss {float(losses.group(1)):.3f} to {float(losses.group(2)):.3f}, "
        f"adapter verified ({time.monotonic() - started:.0f} s)"
    )


def installed_bytes(python: str, names: Sequence[str]) -> int:
    """What these packages take on the disk. Raises FixError where the environment does not answer."""
    if not names:
        return 0
    done = run([python, str(SCRIPT), "size", *names], _IMPORT_SECONDS, env=_environment(), cwd=os.sep)
    if not done.ok:
        raise FixError(f"The new environment's packages cannot be measured: {last_line(done.stderr)}")
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def _environment() -> "dict[str, str]":
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _error(output: str) -> str:
    errors = [line for line in output.splitlines() if line.startswith(("error:", "FAIL"))]
    return errors[0] if errors else output
