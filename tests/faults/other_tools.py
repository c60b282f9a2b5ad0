"""The tools that the benchmark sets beside envdoc: how each is called, and what it prints where it sees a problem."""

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Pattern, Sequence, Tuple

from box import Box

LIMIT_SECONDS = 20.0  # the slowest needs 8 s on a healthy machine without load
LOCK = Path(__file__).resolve().parents[2] / "lockfiles" / "bench.txt"
# A tool from LOCK is called as if it were installed in the environment: its folder comes last on the search path.
_BESIDE = "import sys; sys.path.append({folder!r}); sys.argv = {argv!r}; from {module} import {function}; {function}()"


@dataclass(frozen=True)
class Tool:
    """`command`: its arguments, with `{python}` for the interpreter that is examined.

    `complaint`: what it prints for each problem; None where it has no such notion or tells by its exit code alone.
    """

    name: str
    command: Tuple[str, ...]
    complaint: Optional[Pattern[str]] = None
    judges_by_exit_code: bool = False

    def complaints(self, run: "Run") -> int:
        """How many problems it told of in that run."""
        if self.complaint is not None:
            return len(self.complaint.findall(run.output))
        return int(self.judges_by_exit_code and run.exit_code not in (0, None))


@dataclass(frozen=True)
class Run:
    """One run of a program as a whole process; `exit_code` is None where it was stopped at its time limit."""

    output: str
    exit_code: Optional[int]
    seconds: float
    peak_bytes: int  # of the largest single process


def tools(python: Path, uv: Optional[str], folder: Optional[Path]) -> List[Tool]:
    """What can be run over the environment of `python`; those of LOCK where `folder` holds them."""
    site = next((python.parent.parent / "lib").glob("python3.*/site-packages"))
    found = []
    for name, file, arguments, judges in (
        ("torch.utils.collect_env", "torch/utils/collect_env.py", ("torch.utils.collect_env",), False),
        ("accelerate env", "accelerate", ("accelerate.commands.accelerate_cli", "env"), False),
        (
            "transformers env",
            "transformers/cli/transformers.py",
            ("transformers.cli.transformers", "env"),
            False,
        ),
        ("python -m bitsandbytes", "bitsandbytes", ("bitsandbytes",), True),
        ("pip check", "pip", ("pip", "check"), True),
    ):
        if (site / file).exists():
            found.append(Tool(name, ("{python}", "-m", *arguments), judges_by_exit_code=judges))
    if uv:
        found.append(
            Tool("uv pip check", (uv, "pip", "check", "--python", "{python}"), judges_by_exit_code=True)
        )
    if folder is not None:
        found += [
            _beside(folder, ["env-doctor", "check"], "env_doctor.cli", "main", r"[❌⚠]"),
            _beside(folder, ["mlenvdoctor", "diagnose"], "mlenvdoctor.cli", "app", r"\[X\] FAIL|WARN"),
            _beside(
                folder, ["cuda-doctor", "diagnose"], "cuda_doctor.cli", "main", r"(?m)^ *[✗⚠]  ?[A-Z]+\d+ "
            ),
        ]
    return found


def _beside(folder: Path, argv: Sequence[str], module: str, function: str, complaint: str) -> Tool:
    code = _BESIDE.format(folder=str(folder), argv=list(argv), module=module, function=function)
    return Tool(" ".join(argv), ("{python}", "-c", code), re.compile(complaint))


def install(folder: Path) -> Path:
    """A folder with the tools of LOCK in it, installed by pip with hashes where they are not there yet."""
    stamp = folder / "envdoc-stamp"
    text = LOCK.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != text:
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--upgrade",
        ]
        command += [
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "--target",
            str(folder),
            "-r",
            str(LOCK),
        ]
        subprocess.run(command, check=True, timeout=600)
        stamp.write_text(text, encoding="utf-8")
    return folder


def run(
    command: Sequence[str], box: Box, limit_seconds: float = LIMIT_SECONDS, with_errors: bool = True
) -> Run:
    """Run it in the box, under the box's limits and variables, and take what it prints, its time and its memory.

    `with_errors`: what it says on standard error is taken too.
    """
    line = box.command(
        *(word.format(python=box.clone.python) if word == "{python}" else word for word in command)
    )
    env: Dict[str, str] = {**box.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    log = box.folder / "tool.log"
    started = time.perf_counter()
    with log.open("wb") as out:
        try:
            child = subprocess.Popen(
                line,
                env=env,
                cwd=box.work,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out if with_errors else subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            return Run(str(error), 127, 0.0, 0)
    code, peak_bytes = _wait(child.pid, started + limit_seconds)
    return Run(log.read_bytes().decode("utf-8", "replace"), code, time.perf_counter() - started, peak_bytes)


def _wait(pid: int, until: float) -> Tuple[Optional[int], int]:
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return (None if time.perf_counter() > until and code == -9 else code), usage.ru_maxrss * 1024
        if time.perf_counter() > until:
            os.killpg(pid, 9)
            _, _, usage = os.wait4(pid, 0)
            return None, usage.ru_maxrss * 1024
        time.sleep(0.005)
