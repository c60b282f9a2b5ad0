"""Interpreters are found, started and asked; a broken one is told apart from none."""

import json
import os
import stat
import subprocess

import pytest

from envdoc.doctor.fix import pythons
from envdoc.doctor.fix.pythons import available_pythons


def script(folder, name, text):
    """An executable file."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def only(minor, found):
    """The interpreter of that minor version."""
    return next((python for python in found if python.minor == minor), None)


def test_the_interpreter_of_the_tests_is_found_by_its_base_and_not_by_its_environment():
    """A generation must not depend on an environment that somebody may delete."""
    import sys

    minor = ".".join(str(part) for part in sys.version_info[:2])
    found = only(minor, available_pythons(minors=(minor,)))
    assert ("", sys.version.split()[0]) == (found.problem, found.version)
    assert not os.path.realpath(found.path).startswith(os.path.realpath(sys.prefix) + os.sep)


def test_a_shim_that_does_not_answer_is_passed_over(tmp_path):
    """pyenv leaves a `python3.7` on PATH that only says that no such version is chosen."""
    script(
        tmp_path / "bin", "python3.7", "#!/bin/sh\necho 'pyenv: python3.7: command not found' >&2\nexit 127\n"
    )
    environ = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    assert () == available_pythons(environ, minors=("3.7",))


def test_a_python_without_venv_is_told_with_the_package_to_install(tmp_path):
    """Debian splits venv off: the interpreter is there, and the command that completes it is known."""
    told = (
        '{"version": "3.14.9", "base": "/usr/bin/python3.14", "implementation": "CPython", "bits": 64, '
        '"free_threaded": false, "missing": ["ensurepip"]}'
    )
    script(tmp_path / "bin", "python3.14", f"#!/bin/sh\necho '{told}'\n")
    environ = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    found = only("3.14", available_pythons(environ, minors=("3.14",)))
    assert "cannot make environments: its venv module is not installed" == found.problem
    assert "On Debian and Ubuntu: `sudo apt-get install python3.14-venv`." == found.hint


def test_a_python_compiled_without_lzma_is_told(tmp_path):
    """datasets imports it; a Python built without its headers cannot train."""
    told = (
        '{"version": "3.14.9", "base": "/opt/py/bin/python3.14", "implementation": "CPython", "bits": 64, '
        '"free_threaded": false, "missing": ["bz2", "lzma"]}'
    )
    script(tmp_path / "bin", "python3.14", f"#!/bin/sh\necho '{told}'\n")
    environ = {"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    found = only("3.14", available_pythons(environ, minors=("3.14",)))
    assert "was built without bz2, lzma, which the training libraries import" == found.problem


@pytest.mark.parametrize("minor", ["3.8", "3.13"])
def test_an_environment_on_path_stands_for_its_base(minor, interpreter, tmp_path):
    """Python 3.8 names an environment as its own base; a generation made from it would end with it."""
    subprocess.run([interpreter(minor), "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    environ = {"PATH": str(tmp_path / "venv" / "bin"), "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}

    found = only(minor, available_pythons(environ, minors=(minor,)))

    assert os.path.realpath(interpreter(minor)) == os.path.realpath(found.path)
    assert str(tmp_path) not in found.path


def told(base, minor="3.14", missing=()):
    """What an interpreter says of itself."""
    return json.dumps(
        {"version": minor + ".9", "base": str(base), "implementation": "CPython", "bits": 64,
         "free_threaded": False, "missing": list(missing)}
    )  # fmt: skip


def around(folder, **more):
    """An environment in which only `folder`/bin is looked at first, with envdoc's own folder in it."""
    home = folder / "envdoc"
    return {
        "PATH": str(folder / "bin"), "HOME": str(folder), "PYENV_ROOT": str(folder), "ENVDOC_HOME": str(home), **more
    }  # fmt: skip


@pytest.mark.parametrize("minor", ["3.8", "3.13"])
def test_an_interpreter_is_started_once_and_remembered_until_it_changes(
    minor, interpreter, tmp_path, monkeypatch
):
    """The second look starts nothing; an interpreter whose folder changed is asked again."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "envdoc").mkdir()
    (tmp_path / "bin" / ("python" + minor)).symlink_to(interpreter(minor))
    asked = []
    real_ask = pythons._ask
    monkeypatch.setattr(pythons, "_ask", lambda path: asked.append(path) or real_ask(path))

    first = available_pythons(around(tmp_path), minors=(minor,))
    second = available_pythons(around(tmp_path), minors=(minor,))
    kept = json.loads((tmp_path / "envdoc" / "pythons.json").read_text())
    for entry in kept["pythons"].values():
        entry["state"] = "another size and time"
    (tmp_path / "envdoc" / "pythons.json").write_text(json.dumps(kept))
    third = available_pythons(around(tmp_path), minors=(minor,))

    assert first == second == third
    assert 2 == len(asked)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1, "pythons": {"/x": 3}}', '{"format": 9}'])
def test_a_damaged_memory_is_as_none(text, tmp_path):
    """It is only a memory."""
    (tmp_path / "envdoc").mkdir()
    (tmp_path / "envdoc" / "pythons.json").write_text(text)
    script(tmp_path / "bin", "python3.14", f"#!/bin/sh\necho '{told('/usr/bin/python3.14')}'\n")
    assert "3.14.9" == only("3.14", available_pythons(around(tmp_path), minors=("3.14",))).version


def test_what_a_script_says_is_not_remembered(tmp_path):
    """pyenv's shims answer by the folder that one stands in; programs beside it may well be."""
    (tmp_path / "envdoc").mkdir()
    shim = script(tmp_path / "bin", "python3.14", f"#!/bin/sh\necho '{told('/usr/bin/python3.14')}'\n")
    available_pythons(around(tmp_path), minors=("3.14",))
    memory = tmp_path / "envdoc" / "pythons.json"
    assert str(shim) not in (memory.read_text() if memory.exists() else "")


def test_looking_makes_no_folder(tmp_path):
    """envdoc's folder is made by a fix and not by a look."""
    script(tmp_path / "bin", "python3.14", f"#!/bin/sh\necho '{told('/usr/bin/python3.14')}'\n")
    available_pythons(around(tmp_path), minors=("3.14",))
    assert not (tmp_path / "envdoc").exists()


def test_a_program_is_asked_before_a_script(tmp_path, interpreter):
    """A shim takes half a second to say that no version is chosen."""
    shim = script(tmp_path / "bin", "python3.13", "#!/bin/sh\nsleep 1; touch $0.was-asked; exit 127\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "python3.13").symlink_to(interpreter("3.13"))
    environ = around(tmp_path, PATH=f"{shim.parent}{os.pathsep}{other}")
    assert "" == only("3.13", available_pythons(environ, minors=("3.13",))).problem
    assert not shim.with_name(shim.name + ".was-asked").exists()
