"""The one way from the doctor to the pipeline: a child in the target environment, started by path.

The pipeline's folder is never put on the target's path, so that nothing of the doctor's own environment reaches
the target's; `launch.py` makes itself importable there.
"""

import json
import os
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import Any, Dict, List, Mapping, Optional, Sequence

from envdoc.doctor.child import Completed
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.redact import redact_value
from envdoc.doctor.version import envdoc_version

RECEIPT = "envdoc-receipt.json"  # the receipt of a generation, in its folder


def launcher() -> Path:
    """The pipeline's `launch.py`, found without importing the pipeline. Raises EnvdocError where it is gone."""
    spec = find_spec("envdoc.train")
    path = Path(spec.origin).parent / "launch.py" if spec and spec.origin else None
    if path is None or not path.is_file():
        raise EnvdocError(
            "envdoc's own training pipeline is missing from this installation.", "Install envdoc again."
        )
    return path


def context(snapshot: Snapshot) -> Dict[str, Any]:
    """What the doctor tells the pipeline for its receipt: redacted facts, and the lockfile of the environment."""
    import dataclasses

    facts = dataclasses.asdict(dataclasses.replace(snapshot, probes=(), packages=()))
    facts["packages"] = {package.name: package.version for package in snapshot.packages}
    return {
        "envdoc_version": envdoc_version(),
        "facts": redact_value(facts),
        "lockfile": lockfile_of(snapshot.interpreter.prefix),
    }


def lockfile_of(prefix: str) -> Optional[Mapping[str, Any]]:
    """The profile and lock hash of the generation in that folder; None where no receipt of `fix` lies there."""
    receipt = _receipt(prefix)
    if "profile" not in receipt or "lock_sha256" not in receipt:
        return None
    return {"profile": receipt["profile"], "sha256": receipt["lock_sha256"]}


def is_for_cpu(prefix: str) -> bool:
    """True for a generation that was built to train on the CPU: its libraries have no code for the GPU here."""
    return _receipt(prefix).get("device") == "cpu"


def _receipt(prefix: str) -> Dict[str, Any]:
    try:
        receipt = json.loads((Path(prefix) / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return receipt if isinstance(receipt, dict) else {}


def launch(
    python: str,
    arguments: Sequence[str],
    told: Optional[Mapping[str, Any]] = None,
    hide_gpus: bool = False,
) -> int:
    """Run the pipeline in the target and return its exit status; `hide_gpus` keeps it from every GPU.

    Output goes straight to the terminal, and no time limit holds: a run lasts days. SIGTERM and SIGINT to us are
    handed on, so that the child saves what is whole; Ctrl-C at a terminal has reached it already. Raises
    EnvdocError where a signal ended it.
    """
    with tempfile.TemporaryDirectory(prefix="envdoc-") as folder:
        command: List[str] = [python, str(launcher()), *arguments]
        if told is not None:
            file = Path(folder) / "context.json"
            file.write_text(json.dumps(told), encoding="utf-8")
            command += ["--context", str(file)]
        try:
            process = subprocess.Popen(command, env=_environment(hide_gpus))
        except OSError as error:
            raise EnvdocError(f"`{python}` could not be started: {error}.") from error
        status = _wait(process)
    if status < 0:
        name = Completed(status, "", "", 0.0).signal_name
        raise EnvdocError(
            f"The training process was ended by {name}; its last whole checkpoint is kept.",
            "SIGKILL usually means that the machine ran out of memory; `envdoc check` looks for the rest.",
        )
    return status


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Wait for the child, handing on what asks us to stop."""

    def hand_on(number: int, frame: Optional[FrameType]) -> None:
        if number != signal.SIGINT or not _terminal_is_ours():
            process.send_signal(number)

    # SIGUSR1 is Slurm's warning before the time is up; SIGHUP, a terminal that closed. Ignored ones stay ignored.
    asking = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
    heard = [number for number in asking if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, hand_on) for number in heard}
    try:
        return process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _terminal_is_ours() -> bool:
    """True where a terminal sends Ctrl-C to our whole process group, the child included."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _environment(hide_gpus: bool) -> Dict[str, str]:
    """The caller's environment without what would carry the doctor's own packages into the target."""
    environment = dict(os.environ)
    environment.pop("PYTHONHOME", None)
    environment["PYTHONUNBUFFERED"] = "1"
    if hide_gpus:
        environment["CUDA_VISIBLE_DEVICES"] = ""
    return environment
