"""`envdoc train` before the run: fatal checks; another environment offered or built; no question without a terminal."""

import dataclasses
import os
import pty
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from envdoc.doctor.commands import preflight
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.finding import Target

CPU_LIMIT_SECONDS = 0.5
MEASURE = """
import os, sys
from envdoc.doctor.cli import app
from envdoc.doctor.commands.preflight import look_at
from envdoc.doctor.finding import Target
looked = look_at(Target(sys.argv[1], "test"))
assert looked.judged > 300 and not looked.missing
print(sum(os.times()[:4]))
"""


@pytest.fixture
def broken(tmp_path):
    """An active virtual environment that has torch's folder and no package that could train."""
    folder = tmp_path / "broken"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (folder / "pyvenv.cfg").write_text(f"home = {Path(os.path.realpath(sys.executable)).parent}\n")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    (folder / "lib" / version / "site-packages" / "torch").mkdir(parents=True)
    return folder


@pytest.fixture
def with_generation(patient, broken):
    """The environment variables of a user whose active environment is broken, while a generation trains."""
    home = next(parent for parent in Path(patient).absolute().parents if (parent / "current").is_symlink())
    return {**os.environ, "VIRTUAL_ENV": str(broken), "ENVDOC_HOME": str(home)}


def test_the_preflight_takes_less_than_half_a_second(patient):
    """Python's start, every rule and the target's own child: under 0.5 s of CPU, in the best of four."""
    seconds = [
        float(subprocess.check_output([sys.executable, "-c", MEASURE, str(patient)], timeout=120))
        for _ in range(4)
    ]

    assert min(seconds) < CPU_LIMIT_SECONDS, seconds


def test_nothing_to_train_with_and_nobody_to_ask(envdoc, broken, tmp_path):
    """One sentence, the commands that help, exit code 2; nothing was built."""
    environ = {**os.environ, "VIRTUAL_ENV": str(broken), "ENVDOC_HOME": str(tmp_path / "home")}

    done = envdoc("train", env=environ, stdin=subprocess.DEVNULL)

    lines = done.stderr.splitlines()
    assert (2, "", 2) == (done.returncode, done.stdout, len(lines)), done.stderr
    assert "(the active virtual environment) has no torch, transformers, peft" in lines[0]
    assert "`envdoc fix --apply`" in lines[1] and "`envdoc train --yes`" in lines[1]
    assert not (tmp_path / "home" / "envs").exists()


def test_a_generation_is_named_where_nobody_can_be_asked(envdoc, with_generation):
    """The active environment cannot train and the generation can: both are named, with the command; exit code 2."""
    done = envdoc("train", env=with_generation, stdin=subprocess.DEVNULL)

    assert 2 == done.returncode, done.stderr
    assert "The current generation, `" in done.stderr and "`, can train: " in done.stderr
    assert "by `--yes`, or by `--python " in done.stderr and "/current/bin/python`" in done.stderr


@pytest.mark.slow
def test_a_generation_is_taken_with_yes(envdoc, with_generation, tmp_path):
    """`--yes`: the run is built in the generation, and it says so."""
    done = envdoc("train", "--dry-run", "--yes", env=with_generation, stdin=subprocess.DEVNULL)

    assert 0 == done.returncode, done.stderr
    assert "Training with " in done.stderr and "the current generation of `envdoc fix`" in done.stderr
    assert "Nothing was trained (--dry-run)." in done.stdout


def test_a_terminal_is_asked_and_no_means_no(with_generation, tmp_path):
    """On a terminal the question is put; `n` starts nothing."""
    ours, theirs = pty.openpty()
    command = [str(Path(sys.executable).parent / "envdoc"), "train"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=with_generation,
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.write(ours, b"n\n")
        out, err = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)

    assert b"Train with it?" in err
    assert (130, b"") == (process.returncode, out.strip())
    assert not (tmp_path / "runs").exists()


class Fake:
    """Environments as `look_at` sees them, one after the other, and what was built."""

    def __init__(self, monkeypatch, *found):
        self.found, self.built = list(found), []
        monkeypatch.setattr(preflight, "choose_target", lambda python, environ, home: Target("p", "test"))
        monkeypatch.setattr(preflight, "current_python", lambda home: None)
        monkeypatch.setattr(preflight, "look_at", lambda target: self.found.pop(0))
        monkeypatch.setattr(preflight, "build", self.built.append)


def looked(*missing):
    """An environment that lacks these."""
    from envdoc.doctor.facts.snapshot import Snapshot

    return preflight.Looked(Target("p", "test"), Snapshot(), missing, (), 3, 0.1)


def test_fix_is_started_where_it_was_agreed(monkeypatch):
    """No environment, `--yes`: `fix` builds one, and the run goes on with what is then the target."""
    whole = looked()
    fake = Fake(monkeypatch, looked("torch"), whole)

    assert whole is preflight.fit_environment(None, skip_checks=False, yes=True)
    assert [True] == fake.built


def test_what_was_built_is_judged_too(monkeypatch):
    """A build that did not help ends the command; it is not repeated."""
    fake = Fake(monkeypatch, looked("torch"), looked("peft"))

    with pytest.raises(EnvdocError, match="has no peft"):
        preflight.fit_environment(None, skip_checks=False, yes=True)
    assert [True] == fake.built


def test_a_named_interpreter_is_never_replaced(monkeypatch):
    """`--python` was somebody's choice: nothing else is taken or built, `--yes` or not."""
    fake = Fake(monkeypatch, looked("torch"))

    with pytest.raises(EnvdocError, match="has no torch"):
        preflight.fit_environment("p", skip_checks=False, yes=True)
    assert [] == fake.built


def test_an_error_of_the_machine_is_not_answered_with_a_new_environment(monkeypatch, capsys):
    """A full disk is mended by no build: `fix` is named, which tells what is; exit code 1."""
    full = SimpleNamespace(code="SYS001", title="No room", fix=SimpleNamespace(commands=("df -h",)))
    fake = Fake(monkeypatch, dataclasses.replace(looked(), errors=(full,)))

    with pytest.raises(typer.Exit):
        preflight.fit_environment(None, skip_checks=False, yes=False)

    told = capsys.readouterr().err
    assert [] == fake.built and "error: SYS001 No room" in told
    assert "hint: `envdoc fix` tells what would mend that" in told and "Build an environment" not in told
    assert 1 == told.count("--skip-checks")
