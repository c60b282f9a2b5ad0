"""The measuring processes seen from outside: started together, asked one at a time, ended when they hang."""

import contextlib
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

TRAIN = Path(__file__).resolve().parents[2] / "train"
IMPORT_SECONDS = 180
END_SECONDS = 10
CLOCK_MILLISECONDS = 200


class Child:
    """One process of child.py; what it says that is no result goes into OUT/KIND.log."""

    def __init__(self, kind: str, place: Path, given: Any, until: float) -> None:
        from bench_train.shapes import SHRINK

        environment = {**os.environ, "PYTHONUNBUFFERED": "1", "ENVDOC_HOME": str(place / "home")}
        if kind.startswith("unsloth") and given.unsloth_path:
            paths = [str(given.unsloth_path.resolve()), os.environ.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        shrink = SHRINK if given.shape == "tiny" else 1
        program = str(Path(__file__).with_name("child.py"))
        self.until = until
        self.log = (given.out / f"{kind}.log").open("a")
        self.process = subprocess.Popen(
            [sys.executable, program, kind, str(place), str(TRAIN), str(shrink)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=str(place),
            env=environment,
        )
        self._answers: queue.Queue[Dict[str, Any]] = queue.Queue()
        self._began: Optional[Dict[str, Any]] = None
        self._last: List[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def begin(self) -> Dict[str, Any]:
        """What it says once its libraries are there; the same each time."""
        if self._began is None:
            self._began = self._next(min(IMPORT_SECONDS, self.until - time.monotonic()))
        return self._began

    def ask(self, request: Dict[str, Any], seconds: float = 120) -> Dict[str, Any]:
        """The answer to one request, or {"problem": why there is none}."""
        try:
            assert self.process.stdin is not None
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            return {"problem": "its process had ended before"}
        return self._next(seconds)

    def end(self) -> None:
        """End it: it may still hold the GPU."""
        with contextlib.suppress(OSError, ValueError):
            assert self.process.stdin is not None
            self.process.stdin.close()
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def _next(self, seconds: float) -> Dict[str, Any]:
        try:
            return self._answers.get(timeout=max(1.0, seconds))
        except queue.Empty:
            self.process.kill()
            self.process.wait()
            return {"problem": f"no answer in {seconds:.0f} s; its process was ended"}

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("BENCH "):
                self._answers.put(json.loads(line[len("BENCH ") :]))
            else:
                with contextlib.suppress(ValueError):  # closed: nobody reads it any more
                    self.log.write(line)
                    self.log.flush()
                self._last = [*self._last[-4:], line.strip()] if line.strip() else self._last
        told = self._last[-1][:300] if self._last else "without a word"
        self._answers.put({"problem": f"its process ended ({self.process.wait()}): {told}"})


class Neighbour:
    """Another process that holds all of the GPU's memory but so many GiB: a smaller card, for the automatic plan."""

    PROGRAM = """
import sys, torch
sys.stdin.readline()
free, _ = torch.cuda.mem_get_info()
held = torch.empty(int(free - float(sys.argv[1]) * 2**30), dtype=torch.uint8, device="cuda")
print("held", flush=True)
sys.stdin.readline()
"""

    def __init__(self, free_gib: float) -> None:
        command = [sys.executable, "-c", self.PROGRAM, str(free_gib)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def hold(self) -> None:
        """Take the memory now."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        if self.process.stdout.readline().strip() != "held":
            sys.exit("The process that should hold the GPU's memory could not.")

    def end(self) -> None:
        """Give it back."""
        self.process.kill()
        self.process.wait()


class Clocks:
    """nvidia-smi beside the measuring: clock, power, temperature while a recipe ran."""

    ASKED = "clocks.sm,power.draw,temperature.gpu"

    def __init__(self, file: Path) -> None:
        self._seen: List[Any] = []
        command = ["nvidia-smi", f"--query-gpu={self.ASKED}", "--format=csv,noheader,nounits", "-i", "0"]
        try:
            self._process: Optional[subprocess.Popen[str]] = subprocess.Popen(
                [*command, "-lms", str(CLOCK_MILLISECONDS)], stdout=subprocess.PIPE, text=True
            )
        except OSError:  # no GPU here
            self._process = None
            return
        self._file = file
        threading.Thread(target=self._listen, daemon=True).start()

    def beside(self, result: Dict[str, Any]) -> Dict[str, Any]:
        """The result with the medians of the time that it was measured in."""
        inside = [values for at, values in self._seen if result.get("from", 1) <= at <= result.get("to", 0)]
        if not inside:
            return result
        medians = [statistics.median(column) for column in zip(*inside)]
        return {**result, "clocks": dict(zip(("sm_mhz", "watts", "celsius"), medians))}

    def end(self) -> None:
        """Stop looking."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        with self._file.open("w") as kept:
            for line in self._process.stdout:
                with contextlib.suppress(ValueError):
                    self._seen.append((time.time(), [float(part) for part in line.split(",")]))
                kept.write(f"{time.time():.3f},{line}")


def machine() -> Dict[str, Any]:
    """GPU, driver and processor."""
    asked = "name,driver_version,memory.total,clocks.max.sm,power.limit"
    told = ""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["nvidia-smi", f"--query-gpu={asked}", "--format=csv,noheader", "-i", "0"]
        told = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.strip()
    return {"gpu": dict(zip(asked.split(","), told.split(", "))) if told else None, "cores": os.cpu_count()}
