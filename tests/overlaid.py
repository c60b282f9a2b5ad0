"""Old packages laid over the patient: each set of pins is installed once, for all tests."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from only_one import only_one

REQUIREMENTS = Path(__file__).parent / "overlays"


def install(python: Path, name: str) -> Path:
    """The folder with the packages that tests/overlays/NAME.txt pins; built beside, then renamed."""
    requirements = REQUIREMENTS / (name + ".txt")
    cache = Path(os.environ.get("ENVDOC_TEST_CACHE") or Path.home() / ".cache" / "envdoc-tests")
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    folder = cache / "overlays" / f"{name}-{digest}"
    with only_one(folder.with_name(folder.name + ".lock")):
        return folder if folder.is_dir() else _installed(python, requirements, folder)


def _installed(python: Path, requirements: Path, folder: Path) -> Path:
    building = tempfile.mkdtemp(prefix=folder.name + "-", dir=folder.parent)
    command = [str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--only-binary", ":all:", "--target", building, "-r", str(requirements)]
    # A file may ask for an sdist with `--no-binary`; what it would compile is left out.
    environment = {**os.environ, "DS_BUILD_OPS": "0"}
    try:
        subprocess.run(command, check=True, timeout=600, env=environment)
        Path(building).rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return folder


def run_over(python: Path, script: Path, arguments, *overlays: str) -> str:
    """The standard output of a script in the patient with those overlays on top, the first uppermost."""
    path = os.pathsep.join(str(install(python, name)) for name in overlays)
    done = subprocess.run(
        [str(python), str(script), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert 0 == done.returncode, done.stderr[-3000:]
    return done.stdout
