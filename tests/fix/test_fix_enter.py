"""`envdoc run` and `envdoc shell` enter the generation in use: its PATH, its exit codes, its signals."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from envdoc.doctor.target import choose_target

ENVDOC = str(Path(sys.executable).parent / "envdoc")


@pytest.fixture
def generation(home):
    """A generation in use: a bare environment with a receipt."""
    folder = home / "envs" / "0001-tiny"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    version = "%d.%d.1" % sys.version_info[:2]  # noqa: UP031
    (folder / "envdoc-receipt.json").write_text(json.dumps({"python_version": version}))
    (home / "current").symlink_to("envs/0001-tiny")
    return folder


def enter(home, *arguments, **more):
    """The command in a child of its own, with envdoc's folder of this test."""
    environ = {**os.environ, "ENVDOC_HOME": str(home), **more.pop("env", {})}
    return subprocess.run(
        [ENVDOC, *arguments], capture_output=True, text=True, env=environ, timeout=60, **more
    )


def test_run_is_as_if_the_generation_were_activated(generation, home):
    """Its own path and not the link; PATH starts with its bin; arguments pass unchanged, options too."""
    code = (
        "import json, os, sys; e = os.environ; "
        "print(json.dumps([sys.prefix, e['VIRTUAL_ENV'], e['PATH'].split(':')[0], 'PYTHONHOME' in e, sys.argv[1:]]))"
    )
    done = enter(home, "run", "--", "python", "-c", code, "--help", "a b", "")
    place = str(generation.resolve())
    assert [place, place, f"{place}/bin", False, ["--help", "a b", ""]] == json.loads(done.stdout), (
        done.stderr
    )


@pytest.mark.parametrize(
    ("code", "expected"), [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", -15)]
)
def test_the_command_ends_as_it_would_by_itself(code, expected, generation, home):
    """Exit codes and signals reach the caller."""
    assert expected == enter(home, "run", "--", "python", "-c", code).returncode


def test_a_signal_reaches_the_command(generation, home):
    """envdoc is replaced by the command: what is sent to it arrives there."""
    code = "import signal, sys; signal.signal(15, lambda *a: sys.exit(3)); print('ready', flush=True); signal.pause()"
    environ = {**os.environ, "ENVDOC_HOME": str(home)}
    with subprocess.Popen(
        [ENVDOC, "run", "--", "python", "-c", code], stdout=subprocess.PIPE, env=environ
    ) as child:
        assert b"ready\n" == child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        assert 3 == child.wait(20)


def test_shell_starts_the_users_shell_in_it(generation, home, tmp_path):
    """SHELL decides which; its exit code is the command's."""
    shell = tmp_path / "my-shell"
    shell.write_text("#!/bin/sh\ncommand -v python\nexit 5\n")
    shell.chmod(0o755)
    done = enter(home, "shell", env={"SHELL": str(shell)})
    assert (5, f"{generation.resolve()}/bin/python\n") == (done.returncode, done.stdout)


def test_what_cannot_be_entered_is_one_sentence(home):
    """No generation; no such command; a Python that is gone."""
    done = enter(home, "run", "--", "python")
    assert (2, True) == (done.returncode, "There is no current generation yet." in done.stderr)


def test_a_python_that_is_gone_is_one_sentence(generation, home):
    """It names the generation and the command that mends it; no command at all is another sentence."""
    done = enter(home, "run", "--", "no-such-command")
    assert (2, True) == (done.returncode, "There is no command `no-such-command`" in done.stderr)
    (generation / "bin" / "python").unlink()
    (generation / "bin" / "python").symlink_to("/nowhere/python3")
    done = enter(home, "run", "--", "python")
    assert 2 == done.returncode
    assert "`0001-tiny` does not start: its Python `/nowhere/python3` is gone." in done.stderr
    assert "envdoc fix --apply" in done.stderr


def test_the_target_says_that_the_generation_in_use_does_not_start(generation, home):
    """`check` goes on examining what is in use, and says that its Python is gone."""
    (generation / "bin" / "python").unlink()
    (generation / "bin" / "python").symlink_to("/nowhere/python3")
    target = choose_target(None, {"PATH": str(Path(sys.executable).parent)}, home)
    assert (str(home / "current/bin/python"), True) == (
        target.path,
        "`0001-tiny` does not start: its Python `/nowhere/python3` is gone." in (target.note or ""),
    )
