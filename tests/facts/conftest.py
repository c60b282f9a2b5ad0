"""Fixtures of the facts: a machine without a driver, whatever the tests run on."""

import fakes
import pytest


@pytest.fixture
def bare_machine(tmp_path, monkeypatch):
    """An ENVDOC_ROOT without NVIDIA's files, libraries or programs; returns its folder."""
    root = fakes.machine(tmp_path / "root")
    for name, value in fakes.no_driver_variables(root).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + ":/usr/bin:/bin")
    return root
