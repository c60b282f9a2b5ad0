"""Fixtures that many tests share: real interpreters and a real training environment, never mocks of them."""

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from only_one import only_one

PATIENT_PROFILE = "cpu-py311"  # the old transformers that tests lay over it have no wheels for a newer Python


@pytest.fixture(scope="session")
def homes(tmp_path_factory):
    """Folders, each a new one. pytest's mktemp reads all of them to number the next: 40 s of CPU for 9,000 tests."""
    folder = tmp_path_factory.mktemp("envdoc-homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_home(homes, monkeypatch):
    """Every test has an envdoc folder of its own and none of the caller's environment variables for envdoc."""
    for name in ("ENVDOC_ROOT", "ENVDOC_NVML_LIB", "ENVDOC_LIBCUDA"):
        monkeypatch.delenv(name, raising=False)
    home = next(homes)
    home.mkdir()
    monkeypatch.setenv("ENVDOC_HOME", str(home))
    yield
    with contextlib.suppress(OSError):  # what a test left there may be looked at
        home.rmdir()


@pytest.fixture(scope="session")
def patient() -> Path:
    """The interpreter of a real training environment (CPU torch, transformers, peft, bitsandbytes).

    It is built once by `envdoc fix --apply` itself, and built anew when its lock changes; ENVDOC_TEST_PATIENT names
    another. Of several workers, or several test runs at once, one builds and the others wait for it.
    """
    if "ENVDOC_TEST_PATIENT" in os.environ:
        return Path(os.environ["ENVDOC_TEST_PATIENT"])
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.profiles import load_profiles

    home = cache_folder() / "home"
    lock = next(profile.lock_sha256 for profile in load_profiles() if profile.name == PATIENT_PROFILE)
    with only_one(cache_folder() / "home.lock"):
        current = Generations(home).current()
        if current is None or current.lock_sha256 != lock:
            command = [str(Path(sys.executable).parent / "envdoc"), "fix", "--apply", "--yes"]
            command += ["--profile", PATIENT_PROFILE, "--python", sys.executable]
            subprocess.run(command, check=True, env={**os.environ, "ENVDOC_HOME": str(home)}, timeout=1200)
            current = Generations(home).current()
    assert current is not None
    return current.python


def cache_folder() -> Path:
    """Where tests keep what takes long to build and is the same every time."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "envdoc-tests"
    return Path(os.environ.get("ENVDOC_TEST_CACHE") or default)


@pytest.fixture(scope="session")
def interpreter():
    """A function from "3.8" to the path of an installed Python of that minor version."""
    from envdoc.doctor.fix.pythons import available_pythons

    found = {python.minor: python.path for python in available_pythons() if not python.problem}

    def path(minor: str) -> str:
        assert minor in found, f"The tests need Python {minor}; found {sorted(found)}."
        return found[minor]

    return path
