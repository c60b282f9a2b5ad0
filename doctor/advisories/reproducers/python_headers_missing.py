"""triton compiles its launcher with a compiler, for a Python without its headers."""

import inspect
import subprocess
import sys
import sysconfig
from pathlib import Path

from _verdict import finish
from triton.runtime import build

Path("main.c").write_text("#include <Python.h>\n")
Path("empty").mkdir(exist_ok=True)
paths = sysconfig.get_paths
sysconfig.get_paths = lambda *given, **named: {
    **paths(*given, **named),
    "include": str(Path("empty").resolve()),
}


def compile_launcher() -> None:
    """As triton does it: the folder of the headers comes from sysconfig."""
    known = {"name": "thing", "src": "main.c", "srcdir": "."}
    build._build(*[known.get(name, []) for name in inspect.signature(build._build).parameters])


if "--compile" in sys.argv:
    compile_launcher()
run = (
    subprocess.run([sys.executable, __file__, "--compile"], capture_output=True, text=True, timeout=60)
    if len(sys.argv) == 1
    else None
)
if run is not None:
    line = next((line for line in run.stderr.splitlines() if "fatal error: Python.h" in line), "")
    finish(bool(line), line or run.stderr[-200:] or "it compiled")
