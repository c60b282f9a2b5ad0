"""The NVIDIA driver by every way that can tell: kernel files, libcuda, NVML and, last, nvidia-smi.

libcuda and NVML are asked in a child (driver_child.py) which reports line by line: a call that crashes or hangs is
itself a fact, and what the child said before stands.
"""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from ast import literal_eval
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from envdoc.doctor.facts.root import read_line, read_text
from envdoc.doctor.facts.snapshot import Driver

# A healthy cuInit takes 0.1 to 0.5 s, several seconds where no persistence daemon keeps eight GPUs awake.
TIMEOUT_SECONDS = 15.0
QUICK_TIMEOUT_SECONDS = 1.5  # then cuInit's result is left untold, and no verdict drawn from that
_CHILD = Path(__file__).with_name("driver_child.py")
_VERSION = re.compile(r"\b(\d{2,4}\.\d+(?:\.\d+)*)\b")


@dataclass(frozen=True)
class Answers:
    """What the child said: the last value of every key, the GPUs, and how it ended where it did not end well."""

    values: Dict[str, Any]
    gpus: Tuple[Dict[str, Any], ...]
    ending: str = ""  # "did not return within 15 s", "was killed by SIGSEGV"
    health: Tuple[Dict[str, Any], ...] = ()

    @property
    def step(self) -> str:
        """The call that it was in when it ended; empty where it finished."""
        return str(self.values.get("step", "starting"))


def ask_libraries(quick: bool = False) -> Answers:
    """Run the child and collect its lines until it ends or its time is up."""
    limit = QUICK_TIMEOUT_SECONDS if quick else TIMEOUT_SECONDS
    argv = [sys.executable, "-I", "-S", "-B", str(_CHILD), str(limit)]
    output, ending = _lines_until(argv, limit)
    values: Dict[str, Any] = {}
    gpus: List[Dict[str, Any]] = []
    health: List[Dict[str, Any]] = []
    for line in output:
        try:
            key, value = literal_eval(line)
        except (ValueError, SyntaxError, TypeError):
            continue  # half a line, or something that the driver printed
        if key == "gpu":
            gpus.append(value)
        elif key == "health":
            health.append(value)
        else:
            values[key] = value
    return Answers(values, tuple(gpus), ending if values.get("step") != "" else "", tuple(health))


def driver(answers: Answers, quick: bool = False) -> Driver:
    """The driver from the kernel's files and the child's answers; nvidia-smi's word is added by the caller."""
    values = answers.values
    kernel_version, source, is_open = _kernel_module()
    nvml_version = values.get("nvml_version", "")
    cuda = values.get("cuda") or values.get("nvml_cuda")
    errors = {key: values.get(key + "_error", "") for key in ("libcuda", "nvml")}
    if answers.ending:
        library = "nvml" if answers.step.lower().endswith(("nvml", "nvmlinit_v2")) else "libcuda"
        untold = quick and answers.step == "cuInit" and "did not return" in answers.ending
        if not untold:
            errors[library] = f"{answers.step} {answers.ending}"
    return Driver(
        version=kernel_version or nvml_version,
        source=source or ("nvml" if nvml_version else ""),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        libcuda=values.get("libcuda", ""),
        libcuda_error=errors["libcuda"],
        cuda_init_code=values.get("cuda_init_code"),
        nvml_error=errors["nvml"],
        nvml_version=nvml_version,
        kernel_module_version=kernel_version,
        nvidia_smi=shutil.which("nvidia-smi") or "",
        is_open_kernel_module=is_open,
    )


def _kernel_module() -> Tuple[str, str, Optional[bool]]:
    """The version of the loaded module, the file that tells it, and whether it is the open one (/proc alone says)."""
    text = read_text("/proc/driver/nvidia/version")
    is_open = ("Open Kernel Module" in text) if "NVRM version" in text else None
    version = read_line("/sys/module/nvidia/version")
    if version:
        return version, "/sys/module/nvidia/version", is_open
    line = next((line for line in text.splitlines() if line.startswith("NVRM version")), "")
    match = _VERSION.search(line)
    return (match.group(1), "/proc/driver/nvidia/version", is_open) if match else ("", "", is_open)


def _lines_until(argv: List[str], limit_seconds: float) -> Tuple[List[str], str]:
    """The child's complete lines, and how it ended ("" where well).

    Not child.run: a process that hangs inside the driver may not die of SIGKILL, and waiting for the end of its
    output would lose what it has written.
    """
    deadline = time.monotonic() + limit_seconds
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    output, is_open = b"", True
    with process.stdout as pipe:
        while is_open and time.monotonic() < deadline:
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            if ready:
                data = os.read(pipe.fileno(), 1 << 16)
                output, is_open = output + data, bool(data)
    lines = output.decode("utf-8", "replace").splitlines()
    try:
        code = process.wait(max(0.05, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(
            subprocess.TimeoutExpired
        ):  # stuck in the kernel: it ends as soon as anything can end it
            process.wait(0.2)
        return lines, f"did not return within {limit_seconds:g} s"
    if code < 0:
        try:
            return lines, f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return lines, f"was killed by signal {-code}"
    return lines, f"ended the process with exit status {code}" if code else ""
