"""Wheels, an index of our own and an empty pip configuration for every test of the transaction."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

import killing
import pytest
from fix_tools import Index, Shop

from envdoc.lockfiles import lock_path


@pytest.fixture(autouse=True)
def no_index(tmp_path_factory, monkeypatch, request):
    """Nothing comes from a real index: pip and uv know only what a test tells them; caches are the test's own."""
    if "real_wheels" in request.fixturenames:  # fetched with the machine's own configuration
        request.getfixturevalue("real_wheels")
    place = tmp_path_factory.mktemp("pip")
    for name in (
        "PIP_FIND_LINKS",
        "PIP_EXTRA_INDEX_URL",
        "PIP_INDEX_URL",
        "UV_INDEX_URL",
        "UV_DEFAULT_INDEX",
    ):
        monkeypatch.delenv(name, raising=False)
    config = place / "pip.conf"
    config.write_text("[global]\nno-index = true\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_CACHE_DIR", str(place / "cache"))
    monkeypatch.setenv("UV_CACHE_DIR", str(place / "uv-cache"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    return config


@pytest.fixture(scope="session")
def quick_python(tmp_path_factory):
    """An interpreter like the tests' own whose `-m venv` takes milliseconds instead of ensurepip's three seconds."""
    return killing.quick_python(tmp_path_factory.mktemp("python"))


@pytest.fixture
def shop(tmp_path, quick_python):
    """Wheels of alpha 1.0 and beta 2.0; environments are made quickly."""
    return Shop(tmp_path, quick_python)


@pytest.fixture
def home(tmp_path):
    """envdoc's folder of this test, not yet there."""
    return tmp_path / "home"


@pytest.fixture
def index(no_index, shop, request):
    """Starts an index over the shop's wheels and points pip's configuration at it."""
    started = []

    def start(**options):
        made = Index(shop.wheels, **options)
        started.append(made)
        no_index.write_text(f"[global]\nindex-url = {made.url}\n")
        return made

    yield start
    for made in started:
        made.server.shutdown()
        made.server.server_close()


@pytest.fixture(scope="session")
def real_wheels():
    """A folder of real wheels: rich and what it needs, as lockfiles/doctor.txt pins them; fetched once by pip."""
    folder = Path.home() / ".cache" / "envdoc-tests" / "wheels-of-rich"
    names = ("rich", "markdown-it-py", "mdurl", "pygments", "packaging")
    if len(list(folder.glob("*.whl"))) != len(names):
        blocks = re.split(r"\n(?=\S)", lock_path("doctor").read_text(encoding="utf-8"))
        pins = [block for block in blocks if block.split("==")[0] in names]
        with tempfile.TemporaryDirectory() as place:
            lock = Path(place) / "lock.txt"
            lock.write_text("\n".join(pins) + "\n")
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--require-hashes"]
            command += ["--only-binary", ":all:", "-r", str(lock), "-d", str(folder)]
            done = subprocess.run(command, stderr=subprocess.PIPE, timeout=300)
        if done.returncode:
            pytest.skip(f"pip cannot fetch the real wheels: {done.stderr.decode()[-200:]}")
    return folder
