"""SIGKILL from the first byte to after the switch: the environment in use goes on working, and the next run finishes.

One home, one generation in use, a plain environment of the user's beside it. A build of another lock is killed, all is
looked at, the next run must finish, `rollback` and `gc` bring back the beginning: so each kill meets the same state.
"""

import subprocess
import sys
import time

import killing
import pytest

from envdoc.doctor.cli import run as envdoc
from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.fix.user_lock import pins_of_profile
from envdoc.doctor.lock.additions import Additions
from envdoc.doctor.lock.document import lock_text

pytestmark = pytest.mark.slow

SHARES = 2  # so many tests, which may run beside each other, share the kills
TIMED = 12  # kills of the command line by the clock, spread over a whole run: most of it passes in venv, uv and pip


def older_profile(shop):
    """The same packages in another order: another lock."""
    pins = [
        f"{name}=={version} --hash=sha256:{shop.hashes[name]}"
        for name, version in (("beta", "2.0"), ("alpha", "1.0"))
    ]
    return shop.profile("older", lines=pins)


class Scene:
    """The home before each kill, and what is looked at after it."""

    def __init__(self, shop, python, folder, monkeypatch):
        self.home, self.python = folder / "home", python
        self.lock = folder / "envdoc.lock.txt"
        tiny = shop.profile()
        self.lock.write_text(lock_text(tiny, "tiny", Additions(), pins_of_profile(tiny)))
        self.plan = killing.write_plan(shop.profile(), python, folder / "plan.pickle")
        older = killing.write_plan(older_profile(shop), python, folder / "older.pickle")
        assert 0 == killing.finish(older, self.home)[0]
        monkeypatch.setenv("ENVDOC_HOME", str(self.home))
        self.old = Generations(self.home).current()
        self.users = folder / "users"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self.users)], check=True)
        self.before = killing.digest(self.old.folder), killing.digest(self.users)

    def look(self, switched):
        """What holds at any moment."""
        now = Generations(self.home).current()
        assert killing.nobody_in(
            self.home / "envs"
        )  # its children have gone with it, before anybody clears up
        assert ("older" if not switched else "tiny") == now.profile.replace("user-", "")
        assert killing.imports(self.home / "current/bin/python", "beta", "alpha")
        assert self.before == (killing.digest(self.old.folder), killing.digest(self.users))
        assert 0 == envdoc(["generations"])

    def go_on(self):
        """The next run finishes the job and leaves nothing behind; then back to the beginning."""
        status, output = killing.finish(self.plan, self.home)
        assert (0, True) == (status, "Traceback" not in output), output
        assert killing.nobody_in(self.home / "envs")
        self.look(switched=True)
        made = Generations(self.home).current()
        there = killing.names(self.home / "envs")
        assert {self.old.name, made.name} == {name for name in there if "-user-" not in name}
        assert set() == killing.names(self.home) - killing.OWN
        assert set() == {".incomplete", ".tmp"} & killing.names(made.folder)
        self.go_back()

    def go_back(self):
        """The beginning."""
        while Generations(self.home).current().name != self.old.name:
            assert 0 == envdoc(["rollback"])
        self.look(switched=False)
        assert 0 == envdoc(["gc", "--keep", "1"])
        assert {self.old.name} == killing.names(self.home / "envs")


@pytest.fixture
def python(quick_python):
    """An interpreter that makes environments quickly."""
    return quick_python


@pytest.fixture
def scene(shop, python, tmp_path, no_index, monkeypatch):
    """A generation in use, and a plan for another."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    return Scene(shop, python, tmp_path, monkeypatch)


def moments(scene):
    """Every event of a whole run, the moment after it, and moments by the clock: [(stop, seconds, switched)]."""
    scene.go_on()  # the caches are warm after it
    events = killing.counted(scene.plan)
    started = time.monotonic()
    assert 0 == killing.start_command(scene.lock, scene.python, scene.home).wait(180)
    seconds = time.monotonic() - started
    scene.go_back()
    switch = next(
        place for place, event in enumerate(events, 1) if event == f"os.rename {scene.home / 'current'}"
    )
    counted = [(stop, None, stop > switch) for stop in range(1, len(events) + 2)]
    timed = [(0, seconds * (place + 1) / (TIMED + 1), None) for place in range(TIMED)]
    assert len(counted) + len(timed) >= 40
    return counted + timed


@pytest.mark.parametrize("share", range(SHARES))
def test_a_kill_at_any_moment_breaks_nothing(share, scene, capsys):
    """At least 40 moments in all: the old generation or the new one is in use, works, and the job can be finished.

    Those by the clock are of the whole command line. No child outlives it.
    """
    for place, (stop, seconds, switched) in enumerate(moments(scene)):
        if place % SHARES != share:
            continue
        whom = "group" if place % 2 else "self"
        if seconds is None:
            status, output = killing.finish(scene.plan, scene.home, stop=stop, whom=whom)
            assert -9 == status, (stop, output)
        else:
            child = killing.start_command(scene.lock, scene.python, scene.home)
            time.sleep(seconds)
            killing.kill(child, whom)
            switched = Generations(scene.home).current().profile == "user-tiny"
        scene.look(switched)
        scene.go_on()
