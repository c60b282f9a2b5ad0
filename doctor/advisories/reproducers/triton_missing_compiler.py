"""triton compiles its launcher where no C compiler is on PATH."""

import inspect
import os
from pathlib import Path

from _verdict import raises
from triton.runtime.build import _build

os.environ.pop("CC", None)
os.environ["PATH"] = str(Path.cwd())
Path("main.c").write_text("int thing() { return 1; }\n")
known = {"name": "thing", "src": "main.c", "srcdir": "."}
values = [known.get(name, []) for name in inspect.signature(_build).parameters]
raises(lambda: _build(*values), r"Failed to find C compiler")
