"""Import the libraries once and fork every probe from that, as soon as what it needs is there.

usage: _server.py FOLDER      the runner has put plan.json there, and reads events.jsonl as it grows

A plan is {"steps": "all", "gpu" or "new", "modules": whether import results are wanted, "leave_out": modules that are
not to be imported, "tokens": probes that may run beside the imports, "gpus": whether this machine has any,
"bytecode": whether what is compiled may be kept, "forks": {probe: {"script", "folder", "environ"}}}. Each probe has a
keeper: a process that waits for its turn, forks it, and tells how it ended, whatever becomes of this process in the
meantime. Nothing is computed here and CUDA is not touched: a fork inherits neither a thread pool nor a context.
Python 3.8 standard library only.
"""

# mypy: disable-error-code="import-not-found"

import contextlib
import gc
import json
import os
import signal
import sys
import tempfile
import time
import types
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Sequence, Tuple

from _aside import Aside
from _bytecode import keep_bytecode
from _probe import version_of
from _quiet_fork import die_with, flush, quiet_fork
from _steps import STEPS
from library_imports import look_at

NVML_CHECK = "PYTORCH_NVML_BASED_CUDA_CHECK"  # torch.cuda.is_available() then asks NVML and leaves CUDA alone
CUDA_ERROR_NOT_INITIALIZED = 3
FORK_GARBAGE = 20_000  # objects between collections; at Python's 700 an import takes a fifth longer


class Server:
    """The steps of one plan, in their order."""

    def __init__(self, folder: Path) -> None:
        self.plan: Dict[str, Any] = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        self.events = os.open(str(folder / "events.jsonl"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.turns, self.turn_over = os.pipe()
        os.write(self.turn_over, b"." * self.plan["tokens"])
        self.seconds: Dict[str, float] = {}
        self.asides: Dict[str, Aside] = {}
        self.nvml_check = os.environ.get(NVML_CHECK)

    def tell(self, event: Dict[str, Any]) -> None:
        """Add a line to the events; one write, so that lines of several processes never mix."""
        os.write(self.events, (json.dumps(event) + "\n").encode("ascii"))

    def run(self) -> None:
        """Take every step, wait for the keepers, and end without the libraries' own good-byes."""
        if self.plan["bytecode"]:
            keep_bytecode()
        gc.disable()  # nothing of what is imported is garbage; collecting it costs a tenth of the time
        os.environ.setdefault(NVML_CHECK, "1")
        steps = self.steps()
        self.tell({"modules": [step[1] for step in steps if step[0] in ("import", "hear")]})
        for index, step in enumerate(steps):
            if step[0] == "aside":
                self.go_aside(step[1])
            elif step[0] == "hear":
                if not self.hear(step[1]):
                    break
            elif step[0] == "import":
                later = steps[index + 1 :]
                last = not any(other[0] in ("import", "hear") and other[1] == step[1] for other in later)
                if not self.bring(step[1], step[2], last):
                    break
            else:
                self.take(step)
        else:
            self.tell({"done": True})
        os.write(self.turn_over, b".")  # this process computes no more
        end_after_children()

    def take(self, step: Tuple[Any, ...]) -> None:
        """A step that has no result of its own."""
        if step[0] == "fork":
            self.fork(step[1])
        elif step[0] == "warm":
            self.warm(step[1], step[2])
        elif step[0] == "hide":
            sys.modules[step[1]] = None  # type: ignore[assignment]  # as if it were not installed
        elif step[0] == "forget":
            forget(step[1])

    def steps(self) -> List[Tuple[Any, ...]]:
        """The steps of the plan, without the modules that are known to fail and without forks that nobody wants."""
        steps = self.wanted(STEPS[self.plan["steps"]])
        if not self.plan["modules"]:
            steps = [step for step in steps if step[0] != "hear" and (step[0] != "aside" or forks(step))]
            while steps and not forks(steps[-1]):
                steps.pop()
        return steps

    def wanted(self, steps: Sequence[Tuple[Any, ...]]) -> List[Tuple[Any, ...]]:
        """Those of the steps that this plan takes."""
        found: List[Tuple[Any, ...]] = []
        for step in steps:
            if step[0] == "aside":
                inner = tuple(
                    part for part in self.wanted(step[1]) if part[0] != "import" or version_of(part[1])
                )
                found += [("aside", inner)] if inner else []
            elif (
                step[1] in self.plan["forks"] if step[0] == "fork" else step[1] not in self.plan["leave_out"]
            ):
                found.append(step)
        return found

    def bring(self, module: str, names: Tuple[str, ...], last: bool) -> bool:
        """Import the module and tell how that went; False where it failed, since it may have left half of itself."""
        version = version_of(module)
        if version is None and (module != "torch" or not is_there(module)):
            self.tell({"module": module, "version": None})
            return True
        self.tell({"importing": module, "version": version})
        started = time.monotonic()
        seen = look_at(module, names)
        self.seconds[module] = self.seconds.get(module, 0.0) + time.monotonic() - started
        if last or "error" in seen:
            self.tell(
                {"module": module, "version": version, **seen, "seconds": round(self.seconds[module], 2)}
            )
        return "error" not in seen

    def go_aside(self, steps: Sequence[Tuple[Any, ...]]) -> None:
        """Begin with these steps in a process of their own; `hear` tells of their imports."""
        gc.freeze()
        aside = Aside(steps, self.take, end_after_children)
        self.asides.update((step[1], aside) for step in steps if step[0] == "import")

    def hear(self, module: str) -> bool:
        """Wait for the import that went on aside and tell how it went; False where it failed."""
        version = version_of(module)
        if version is None:
            self.tell({"module": module, "version": None})
            return True
        self.tell({"importing": module, "version": version})
        seen = self.asides[module].result(module)
        self.tell({"module": module, "version": version, **seen})
        return "error" not in seen

    def warm(self, module: str, names: Tuple[str, ...]) -> None:
        """Import what the next forks will import; what fails here will fail there, and is told there."""
        try:
            imported = import_module(module)
            for name in names:
                getattr(imported, name)
        except Exception:
            pass

    def fork(self, name: str) -> None:
        """Fork a keeper for that probe; returns here, and not in the keeper."""
        if self.plan["gpus"] and not cuda_is_untouched():
            self.tell({"probe": name, "refused": "a library has initialised CUDA while it was imported"})
            return
        flush()
        gc.freeze()  # the forks share these pages as long as nobody collects them
        keeper = quiet_fork()
        if keeper == 0:
            self.keep(name, self.plan["forks"][name])
        self.tell({"probe": name, "keeper": keeper})

    def keep(self, name: str, fork: Dict[str, Any]) -> None:
        """In the keeper: wait for a turn, run the probe in a child, tell how it ended, and end."""
        os.read(self.turns, 1)
        started, keeper = time.monotonic(), os.getpid()
        probe = quiet_fork()
        if probe == 0:
            self.become(name, fork, keeper)
            return
        os.waitid(os.P_PID, probe, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(
            OSError
        ):  # what it has left running; its number is not free before the wait below
            os.killpg(probe, signal.SIGKILL)
        status = os.waitpid(probe, 0)[1]
        code = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        self.tell({"probe": name, "code": code, "seconds": round(time.monotonic() - started, 2)})
        os.write(self.turn_over, b".")
        os._exit(0)

    def become(self, name: str, fork: Dict[str, Any], keeper: int) -> None:
        """In the probe's process: run the script as if by `python SCRIPT` in its own folder, and end as it ends."""
        os.setsid()
        die_with(keeper)
        self.tell({"probe": name, "pid": os.getpid()})
        for stream, number in (("stdout", 1), ("stderr", 2)):
            file = os.open(str(Path(fork["folder"], stream)), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(file, number)
            os.close(file)
        for number in (self.events, self.turns, self.turn_over):
            os.close(number)
        os.environ.pop(NVML_CHECK, None)
        fork["environ"].setdefault(NVML_CHECK, self.nvml_check)
        for variable, value in fork["environ"].items():
            os.environ.pop(variable, None)
            if value is not None:
                os.environ[variable] = value
        os.chdir(fork["folder"])
        tempfile.tempdir = None  # TMPDIR is another now
        gc.set_threshold(FORK_GARBAGE)
        gc.enable()
        script = Path(fork["script"])
        sys.argv = [str(script)]
        sys.path[:] = [
            str(script.parent),
            *(entry for entry in sys.path if entry != str(Path(__file__).parent)),
        ]
        for shared in ("_probe", "_tiny", "library_imports"):
            sys.modules.pop(shared, None)  # the probe has a folder and a stdout of its own
        main = types.ModuleType("__main__")
        main.__file__ = str(script)
        sys.modules["__main__"] = main
        exec(compile(script.read_bytes(), str(script), "exec", dont_inherit=True), main.__dict__)
        sys.exit(0)


def forks(step: Tuple[Any, ...]) -> bool:
    """True where that step, or one that goes on aside, forks a probe."""
    return step[0] == "fork" or (step[0] == "aside" and any(forks(part) for part in step[1]))


def end_after_children() -> NoReturn:
    """Wait for the keepers, and end without the libraries' own good-byes."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            os._exit(0)


def forget(module: str) -> None:
    """Let the next import of it be as the first; also of one that was hidden."""
    for name in [name for name in sys.modules if name.split(".", 1)[0] == module]:
        del sys.modules[name]


def is_there(module: str) -> bool:
    """True where Python finds something of that name to import."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return True


def cuda_is_untouched() -> bool:
    """True where nothing in this process has called cuInit: a context does not survive a fork."""
    torch = sys.modules.get("torch")
    if torch is None:
        return True
    try:
        if getattr(torch.version, "hip", None) or torch.cuda.is_initialized():
            return False
        if "libcuda.so" not in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace"):
            return True
        import ctypes

        count = ctypes.c_int()
        answer = ctypes.CDLL("libcuda.so.1").cuDeviceGetCount(ctypes.byref(count))  # does not initialise
        return int(answer) == CUDA_ERROR_NOT_INITIALIZED
    except Exception:
        return False


if __name__ == "__main__":
    Server(Path(sys.argv[1])).run()
