"""Which interpreter is examined, and why."""

import sys
from pathlib import Path

import pytest

from envdoc.doctor.errors import TargetError
from envdoc.doctor.target import choose_target


@pytest.fixture
def environment(tmp_path):
    """A function that makes a folder shaped like an environment, with torch in it or without."""

    def make(name, torch=True):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").symlink_to(sys.executable)
        if torch:
            (tmp_path / name / "lib" / "python3.11" / "site-packages" / "torch").mkdir(parents=True)
        return tmp_path / name

    return make


@pytest.fixture
def home(environment, tmp_path):
    """An envdoc folder with a current generation."""
    generation = environment("generation")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "current").symlink_to(generation)
    return tmp_path / "home"


def test_named_interpreter_wins(environment, home):
    """--python takes an interpreter or an environment's folder, whatever is active."""
    named, active = environment("named"), environment("active")
    environ = {"VIRTUAL_ENV": str(active)}

    assert str(named / "bin/python") == choose_target(str(named), environ, home).path
    assert str(named / "bin/python") == choose_target(str(named / "bin/python"), environ, home).path


def test_active_environment_before_the_generation(environment, home):
    """An active environment with torch is what its user means; the note tells of the generation."""
    active = environment("active")

    target = choose_target(None, {"VIRTUAL_ENV": str(active)}, home)

    assert (str(active / "bin/python"), "the active virtual environment") == (target.path, target.reason)
    assert str(home / "current/bin/python") in target.note


def test_environment_without_torch_yields_to_the_generation(environment, home, tmp_path):
    """The environment that only holds envdoc is not the one to train in, once there is another."""
    active = environment("doctors-own", torch=False)
    environ = {"VIRTUAL_ENV": str(active)}

    assert str(home / "current/bin/python") == choose_target(None, environ, home).path
    assert str(active / "bin/python") == choose_target(None, environ, tmp_path / "no-home").path


def test_conda_base_yields_to_the_generation(environment, home):
    """Images activate conda's base by themselves; a named conda environment somebody chose."""
    conda = environment("conda")
    base = {"CONDA_PREFIX": str(conda), "CONDA_DEFAULT_ENV": "base"}
    chosen = {"CONDA_PREFIX": str(conda), "CONDA_DEFAULT_ENV": "tune"}

    assert str(home / "current/bin/python") == choose_target(None, base, home).path
    assert str(conda / "bin/python") == choose_target(None, chosen, home).path


def test_python_on_path_comes_last(environment, tmp_path):
    """Without any environment it is python3 on PATH; without that, one clear error."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)

    found = choose_target(None, {"PATH": str(tmp_path / "bin")}, tmp_path / "no-home")

    assert str(tmp_path / "bin" / "python3") == found.path
    with pytest.raises(TargetError, match="No Python was found"):
        choose_target(None, {"PATH": str(tmp_path)}, tmp_path / "no-home")


@pytest.mark.parametrize("name", ["/no/such/python", "no-such-python", "FOLDER"])
def test_a_name_that_is_no_interpreter(name, tmp_path):
    """A path, a command and a folder that are no interpreter each give one sentence and a hint."""
    with pytest.raises(TargetError) as caught:
        choose_target(str(tmp_path) if name == "FOLDER" else name, {"PATH": "/usr/bin"}, Path("/no-home"))

    assert caught.value.hint
