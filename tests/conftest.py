"""Fixtures that many tests share: real interpreters and a real training environment, never mocks of them."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """Every test has an envdoc folder of its own and none of the caller's environment variables for envdoc."""
    for name in ("ENVDOC_ROOT", "ENVDOC_NVML_LIB", "ENVDOC_LIBCUDA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ENVDOC_HOME", str(tmp_path_factory.mktemp("envdoc-home")))


@pytest.fixture(scope="session")
def patient() -> Path:
    """The interpreter of a real training environment (CPU torch, transformers, peft, bitsandbytes)."""
    return Path(os.environ["ENVDOC_TEST_PATIENT"])


@pytest.fixture(scope="session")
def interpreter():
    """A function from "3.8" to the path of an installed Python of that minor version."""
    from envdoc.doctor.fix.pythons import available_pythons

    found = {python.minor: python.path for python in available_pythons() if not python.problem}

    def path(minor: str) -> str:
        assert minor in found, f"The tests need Python {minor}; found {sorted(found)}."
        return found[minor]

    return path
