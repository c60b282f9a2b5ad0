"""What a killed envdoc had started ends with it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROBE = "separate.start([sys.executable, '-c', forks], os.environ, folder); time.sleep(60)"


@pytest.mark.parametrize("started", [PROBE, "child.run([sys.executable, '-c', forks], 60)"])
def test_nothing_outlives_an_envdoc_that_is_killed(started, tmp_path):
    """SIGKILL for the process that started a child: the child goes, and what it has forked in its group.

    So ensurepip goes, which `python -m venv` starts, and what that starts.
    """
    forks = (
        "import os, time; os.fork(); os.fork(); "
        f"open({str(tmp_path / 'seen')!r}, 'ab', 0).write(b'%d\\n' % os.getpgrp()); time.sleep(60)"
    )
    code = (
        "import os, sys, time; from envdoc.doctor import child; from envdoc.doctor.probes import separate\n"
        f"forks, folder = {forks!r}, {str(tmp_path)!r}\n{started}"
    )
    envdoc = subprocess.Popen([sys.executable, "-c", code])
    limit = time.monotonic() + 20
    while time.monotonic() < limit:
        groups = (tmp_path / "seen").read_bytes().split() if (tmp_path / "seen").exists() else []
        if len(groups) == 4:
            break
        time.sleep(0.02)
    (group,) = {int(word) for word in groups}
    os.killpg(group, 0)
    envdoc.kill()
    envdoc.communicate()
    while group_lives(group) and time.monotonic() < limit:
        time.sleep(0.02)
    assert not group_lives(group)


def group_lives(group):
    """True while a process of that group runs; the dead that wait for init to collect them do not count."""
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = place.read_text(errors="replace").rsplit(")", 1)[1].split()[:3]
        except OSError:
            continue
        if int(number) == group and state not in "ZX":
            return True
    return False
