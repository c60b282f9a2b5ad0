"""Old packages laid over the patient, and probes run there; both once a session."""

import os
import sys
from functools import lru_cache
from pathlib import Path

import pytest
from overlaid import install

from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.finding import Status
from envdoc.doctor.probes import runner
from envdoc.doctor.probes.runner import run_probes
from envdoc.doctor.rules.registry import all_rules, judge

FAMILIES = ("named_issues", "probe_results", "probe_layers", "deep_results", "gpu_rates", "gpu_identity")


@pytest.fixture(scope="session")
def overlay(patient):
    """overlay(NAME) -> the folder with the packages that tests/overlays/NAME.txt pins."""
    return lambda name: str(install(patient, name))


@pytest.fixture(scope="session")
def probed(patient):
    """probed(PROBE, OVERLAY...) -> its result in the patient with those overlays on top, the first uppermost."""

    @lru_cache(maxsize=None)
    def run(probe, *overlays):
        path = os.pathsep.join(str(install(patient, name)) for name in overlays)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PYTHONPATH", path)
            return run_probes(str(patient), [probe])[0]

    return run


@pytest.fixture(scope="session")
def findings():
    """findings(RESULT...) -> the failed checks that rest on these results, by code."""
    rules = [rule for rule in all_rules() if rule.function.__module__.rsplit(".", 1)[-1] in FAMILIES]

    def run(*results, **facts):
        checks = judge(Snapshot(probes=results, **facts), rules)
        assert [] == [check for check in checks if check.status is Status.CRASHED]
        return {check.code: check for check in checks if check.failed}

    return run


@pytest.fixture
def scripts(tmp_path):
    """scripts(NAME=SOURCE, ...) -> run_probes over scripts with these sources, which may import _probe."""
    folder = tmp_path / "scripts"
    folder.mkdir()
    for shared in ("_probe.py", "_tiny.py"):
        (folder / shared).symlink_to(Path(runner.__file__).parent / shared)

    def run(timeout_seconds=30.0, **sources):
        for name, source in sources.items():
            (folder / (name + ".py")).write_text(source)
        return run_probes(sys.executable, list(sources), timeout_seconds=timeout_seconds, folder=folder)

    return run


@pytest.fixture
def package(tmp_path, monkeypatch):
    """package(NAME, SOURCE) lays a package with its metadata before every other in a plain interpreter."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(site))

    def write(name, source):
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(source)
        metadata = site / f"{name}-9.9.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.9\n")

    return write
