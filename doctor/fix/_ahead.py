"""Compile what a training run imports, from the wheels that uv has unpacked in its cache, while it is at the others.

usage: _ahead.py PLAN      started by the interpreter of the new environment; ends by itself, or at SIGTERM

A plan is, in JSON, {"archives": a glob pattern, "pins": {name: version}, "staging", "site"}. From the roots below it
follows the imports that each module makes, as `_imported.py` sees them; no module is run. The compiled file goes to
`staging`, beside a hard link of its source, as if that were the site-packages of an earlier generation (bytecode.py),
and once the module is installed into `site` itself. uv renames an archive to its last name when it has found its hash
right; a link from there is bound to the very file.
Python 3.8 standard library only.
"""

# mypy: disable-error-code="import-not-found"

import contextlib
import gc
import glob
import json
import marshal
import os
import re
import signal
import struct
import sys
import time
import warnings
from importlib.util import MAGIC_NUMBER, cache_from_source
from pathlib import Path
from types import CodeType
from typing import Any, Dict, List, Optional, Set, Tuple

from _imported import imported

# What imports most of the rest. transformers, peft and huggingface_hub name their parts nowhere. torch comes last, and
# its front last of all: where its wheel was the last to arrive, the proof compiles that itself in the meantime.
ROOTS = (
    "sympy",
    "networkx",
    "datasets",
    "tokenizers",
    "safetensors.torch",
    "huggingface_hub.hf_api",
    "transformers.trainer",
    "transformers.models.auto.modeling_auto",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama",
    "peft",
    "accelerate",
    "bitsandbytes",
    "torch._inductor.compile_fx",
    "torch._dynamo",
    "torch.distributed.tensor",
    "torch",
)
LAST = "torch"
PAUSE_SECONDS = 0.1


class Shelf:
    """Where the modules of the pinned wheels lie: top-level name -> folders of unpacked wheels."""

    def __init__(self, archives: str, pins: Dict[str, str]) -> None:
        self.archives, self.pins = archives, pins
        self.folders: Dict[str, List[str]] = {}
        self.seen: Set[str] = set()

    def look(self) -> None:
        """Put there what is new."""
        for archive in glob.glob(self.archives):
            if archive in self.seen:
                continue
            self.seen.add(archive)
            names = _names(archive)
            if any(self.is_pinned(name) for name in names):
                for name in names:
                    self.folders.setdefault(name.partition(".")[0], []).append(archive)

    def is_pinned(self, name: str) -> bool:
        """True for the `.dist-info` of a wheel in the lock; `2.13.0+cpu` serves the pin `2.13.0`."""
        if not name.endswith(".dist-info"):
            return False
        distribution, _, version = name[: -len(".dist-info")].rpartition("-")
        pin = self.pins.get(re.sub(r"[-_.]+", "-", distribution).lower())
        return pin is not None and pin in (version, version.partition("+")[0])

    def find(self, module: str) -> Optional[Tuple[str, str]]:
        """(folder of the wheel, path of the source in it); None where that is not here, or no such module."""
        path = module.replace(".", os.sep)
        for folder in self.folders.get(module.partition(".")[0], ()):
            for source in (os.path.join(path, "__init__.py"), path + ".py"):
                if os.path.isfile(os.path.join(folder, source)):
                    return folder, source
        return None


class Crawl:
    """From the roots along the imports, as far as wheels are there."""

    def __init__(self, shelf: Shelf, staging: str, site: str) -> None:
        self.shelf, self.staging, self.site = shelf, staging, site
        self.done: Set[str] = set()
        self.queues: Dict[str, Dict[str, None]] = {}  # top-level name -> modules that are to be followed
        for module in ROOTS:
            self.put_off(module)
        self.is_over = False

    def put_off(self, module: str) -> None:
        """To be followed once nothing else of its package is at hand."""
        if module not in self.done:
            self.queues.setdefault(module.partition(".")[0], {})[module] = None

    def go_on(self) -> bool:
        """Follow one module of a package that is there; False where none is."""
        self.shelf.look()
        here = [top for top, queue in self.queues.items() if queue and top in self.shelf.folders]
        if not here:
            return False
        queue = self.queues[next((top for top in here if top != LAST), LAST)]
        module = next(iter(queue))
        del queue[module]
        self.follow(module)
        return True

    def follow(self, first: str) -> None:
        """Compile that module and what it imports of its own package; the rest is put off."""
        top, waiting = first.partition(".")[0], [first]
        while waiting and not self.is_over:
            module = waiting.pop()
            if module in self.done:
                continue
            found = self.shelf.find(module)
            try:
                code = self.compile(*found) if found is not None else None
            except OSError:  # it is not long until it is installed
                for later in (module, *reversed(waiting)):
                    self.put_off(later)
                time.sleep(PAUSE_SECONDS)
                return
            self.done.add(module)
            if found is None or code is None:
                continue
            parent = module.rpartition(".")[0]
            names = imported(code, module if os.path.basename(found[1]) == "__init__.py" else parent)
            for name in filter(None, (parent, *names)):
                if name == parent or "." not in name or not name.startswith(top + "."):
                    self.put_off(name)
            waiting += [name for name in reversed(names) if name.startswith(top + ".") and name != parent]

    def compile(self, folder: str, source: str) -> Optional[CodeType]:
        """The code of that module, written where it will be looked for; None where it does not compile.

        Raises OSError where it is not installed yet and cannot be linked (a cache on another disk).
        """
        installed, path = os.path.join(self.site, source), os.path.join(folder, source)
        goal = installed if os.path.isfile(installed) else os.path.join(self.staging, source)
        if goal != installed:
            os.makedirs(os.path.dirname(goal), exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.link(path, goal)
        try:
            status = os.stat(goal)
            code = compile(Path(goal).read_bytes(), installed, "exec", dont_inherit=True)
        except Exception:  # a file for another Python: whoever needs it will say so
            return None
        with contextlib.suppress(OSError):
            write(goal, code, status)
        return code


def write(source: str, code: CodeType, status: os.stat_result) -> None:
    """Write the .pyc of that source in one step, where there is none; its header is bound to `status` (PEP 552)."""
    goal = cache_from_source(source)
    if os.path.lexists(goal):
        return
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(goal))
    header = struct.pack("<III", 0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
    part = f"{goal}.{os.getpid()}"
    with open(part, "xb") as file:
        file.write(MAGIC_NUMBER + header + marshal.dumps(code))
    os.replace(part, goal)


def _names(folder: str) -> List[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def main(plan: Dict[str, Any]) -> None:
    """Go on until every pin's wheel was seen, or until somebody says that it is enough."""
    crawl = Crawl(Shelf(plan["archives"], plan["pins"]), plan["staging"], plan["site"])

    def end(*_: object) -> None:
        crawl.is_over = True

    signal.signal(signal.SIGTERM, end)
    gc.disable()  # and not `nice`: what is not compiled by then, the proof compiles, with one core idle beside it
    warnings.simplefilter("ignore")
    while not crawl.is_over:
        if not crawl.go_on():
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
