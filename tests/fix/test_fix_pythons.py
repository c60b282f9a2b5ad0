"""Interpreters are found, started and asked; a broken one is told apart from none."""

import os
import stat
import subprocess

import pytest

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
