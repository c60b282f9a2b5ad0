"""Can each training library be imported? One result a module, even where one of them kills its process.

A child imports the modules one after the other and reports after each. Where it fails, hangs or dies, the module
that it was at is to blame, and a new child goes on with the rest.
"""

# mypy: disable-error-code="import-not-found"

import importlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, List, Tuple

from _probe import at, emit, finish, one_line, version_of

# module -> names that must come from it: transformers and peft load most of themselves only when asked for these
NAMES = {
    "safetensors": ("safe_open",),
    "tokenizers": ("Tokenizer",),
    "datasets": ("Dataset",),
    "accelerate": ("Accelerator",),
    "transformers": ("AutoModelForCausalLM", "AutoTokenizer", "Trainer"),
    "peft": ("LoraConfig", "get_peft_model", "PeftModel"),
    "bitsandbytes": ("nn",),
}
MODULE_TIMEOUT_SECONDS = 60


def look_at(module: str, names: Tuple[str, ...]) -> Dict[str, Any]:
    """Import it and take these names from it; {} where that went well, {"error": one line} where it did not."""
    seen: Dict[str, Any] = {}
    try:
        imported = importlib.import_module(module)
        for name in names:
            getattr(imported, name)
        if module == "transformers":
            # False beside a torch that imports: it is too old, and every model class is a dummy
            seen["torch_available"] = bool(imported.is_torch_available())
    except Exception as error:
        seen["error"] = one_line(error)
    return seen


def import_all(modules: List[str]) -> None:
    """In the child: import each and report on it; stop at the first that fails, since it may leave half of itself."""
    for module in modules:
        started = time.monotonic()
        at("importing " + module)
        seen = {"module": module, **look_at(module, NAMES[module])}
        seen["seconds"] = round(time.monotonic() - started, 2)
        emit(seen)
        if "error" in seen:
            break


def in_child(modules: List[str]) -> Tuple[List[Dict[str, Any]], str]:
    """Import `modules` in one child. Returns its reports and how it ended ("" where by itself)."""
    command = [sys.executable, __file__, "--import", *modules]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    output = b""
    while True:
        ready, _, _ = select.select([child.stdout], [], [], MODULE_TIMEOUT_SECONDS)
        if not ready:
            child.kill()
            child.wait()
            return reports(output), f"the import did not end within {MODULE_TIMEOUT_SECONDS} s"
        chunk = os.read(child.stdout.fileno(), 65536)
        if not chunk:
            break
        output += chunk
    code = child.wait()
    if code < 0:
        return reports(output), signal.Signals(-code).name
    return reports(output), f"the process ended with status {code}" if code else ""


def reports(output: bytes) -> List[Dict[str, Any]]:
    """The children's lines of JSON as dicts."""
    return [json.loads(line) for line in output.splitlines()]


def main() -> None:
    """In the parent: start children until every installed module has its result."""
    results = {module: {"version": version_of(module)} for module in NAMES}
    left = [module for module in NAMES if results[module]["version"] is not None]
    while left:
        seen, ended = in_child(left)
        for report in seen:
            results[report.pop("module")].update(report)
        left = left[len(seen) :]
        if left and (ended or not seen):
            results[left.pop(0)]["error"] = ended or "the process ended before the import did"
    finish({"modules": results})


if __name__ == "__main__":
    if sys.argv[1:2] == ["--import"]:
        import_all(sys.argv[2:])
    else:
        main()
