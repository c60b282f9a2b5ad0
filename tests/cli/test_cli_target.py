"""Which interpreter is examined, and why."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from envdoc.doctor.errors import TargetError
from envdoc.doctor.replaced import remember_replaced, replaced
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


@pytest.fixture
def built(environment, tmp_path):
    """An envdoc folder whose current generation was built in place of the environment `broken`."""
    home = tmp_path / "home"
    for name in ("0001-tiny", "0002-tiny"):
        environment(f"home/envs/{name}")
    (home / "current").symlink_to(Path("envs") / "0001-tiny")
    remember_replaced(home, "0001-tiny", str(environment("broken")))
    return home


def test_the_environment_that_a_generation_was_built_for_yields_to_it(built, environment, tmp_path):
    """Its activation stays in the shell after `fix`; another active environment is still its user's choice."""
    told = choose_target(None, {"VIRTUAL_ENV": str(tmp_path / "broken")}, built)
    other = environment("other")

    assert str(built / "current/bin/python") == told.path
    assert f"`{tmp_path / 'broken' / 'bin/python'}`" in told.note
    assert str(other / "bin/python") == choose_target(None, {"VIRTUAL_ENV": str(other)}, built).path


def test_after_a_rollback_the_environment_is_itself_again(built, tmp_path):
    """The note belongs to one generation: with another, or none, the active environment is examined."""
    active = {"VIRTUAL_ENV": str(tmp_path / "broken")}
    (built / "current").unlink()
    assert str(tmp_path / "broken/bin/python") == choose_target(None, active, built).path
    (built / "current").symlink_to(Path("envs") / "0002-tiny")
    assert str(tmp_path / "broken/bin/python") == choose_target(None, active, built).path


def test_notes_are_kept_for_each_generation_and_dropped_with_it(built, tmp_path):
    """Two environments, two generations; a damaged file of notes counts as none."""
    remember_replaced(built, "0002-tiny", "/srv/two")
    remember_replaced(built, "0001-tiny", "/srv/one")
    assert {str(tmp_path / "broken"), "/srv/one"} == set(replaced(built))
    shutil.rmtree(built / "envs" / "0002-tiny")
    remember_replaced(built, "0001-tiny", "/srv/one")
    assert ["0001-tiny"] == list(json.loads((built / "replaced.json").read_text()))
    (built / "replaced.json").write_text("[half")
    assert frozenset() == replaced(built)
