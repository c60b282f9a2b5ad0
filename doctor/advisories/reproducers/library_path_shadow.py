"""NVIDIA's wheels fit each other, and LD_LIBRARY_PATH names a folder with an older libnvJitLink."""

import os
import subprocess
import sys
from pathlib import Path

from _verdict import finish


def folder_of(name: str, version: str) -> Path:
    """The library folder of one of the wheels on the path, told by its version."""
    return next(
        (Path(folder) / "nvidia" / name / "lib").resolve()
        for folder in sys.path
        if list(Path(folder or ".").glob(f"nvidia_{name}_cu12-{version}*.dist-info"))
    )


site = Path("site/nvidia")
for name, version in (("cusparse", "12.3"), ("nvjitlink", "12.4")):
    (site / name).mkdir(parents=True)
    (site / name / "lib").mkdir()
    for file in folder_of(name, version).glob("*.so.12"):
        os.link(file, site / name / "lib" / file.name)  # a link would be followed to its own folder


def load(library_path: str) -> str:
    """What loading libcusparse prints."""
    code = f"import ctypes; ctypes.CDLL({str(site / 'cusparse/lib/libcusparse.so.12')!r}); print('loaded')"
    environment = {**os.environ, "LD_LIBRARY_PATH": library_path}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment
    )
    return (run.stdout + run.stderr).strip().splitlines()[-1]


clean, shadowed = load(""), load(str(folder_of("nvjitlink", "12.1")))
finish(clean == "loaded" and "undefined symbol: __nvJitLink" in shadowed, f"{clean}; {shadowed}")
