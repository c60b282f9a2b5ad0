"""Fixtures that many tests share: real interpreters and a real training environment, never mocks of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PATIENT_PROFILE = "cpu-py311"  # the old transformers that tests lay over it have no wheels for a newer Python


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Every test has an envdoc folder of its own and none of the caller's environment variables for envdoc."""
    for name in ("ENVDOC_ROOT", "ENVDOC_NVML_LIB", "ENVDOC_LIBCUDA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENVDOC_HOME", str(tmp_path_factory.mktemp("envdoc-home")))


@pytest.fixture(scope="session")
def patient() -> Path:
    """The interpreter of a real training environment (CPU torch, transformers, peft, bitsandbytes).

    It is built once by `envdoc fix --apply` itself, and built anew when its lock changes; ENVDOC_TEST_PATIENT names
    another.
    """
    if "ENVDOC_TEST_PATIENT" in os.environ:
        return Path(os.environ["ENVDOC_TEST_PATIENT"])
    from envdoc.doctor.fix.generations import Generations
    from envdoc.doctor.fix.profiles import load_profiles

    home = cache_folder() / "home"
    lock = next(profile.lock_sha256 for profile in load_profiles() if profile.name == PATIENT_PROFILE)
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
