"""Real interpreters, old and new, whole and broken, asked in a child."""

import os
import subprocess
from pathlib import Path

import fakes
import pytest

from envdoc.doctor.facts import self_description as module
from envdoc.doctor.facts.interpreter import describe


@pytest.fixture
def environment(tmp_path, interpreter):
    """A function that makes a real, empty virtual environment and returns its python and its site-packages."""

    def make(minor="3.13", name="venv"):
        folder = tmp_path / name
        subprocess.run([interpreter(minor), "-m", "venv", "--without-pip", str(folder)], check=True)
        (site,) = folder.glob("lib/python3*/site-packages")
        return folder / "bin" / "python", site

    return make


@pytest.mark.parametrize("minor", ["3.8", "3.13"])
def test_real_virtual_environments(environment, minor):
    """Version, prefix and search path are those that the interpreter has; pip is absent, nothing else is missing."""
    python, site = environment(minor)
    told = describe(str(python))
    assert told.error is None
    assert told.version.startswith(minor + ".")
    assert ("CPython", "Linux") == (told.implementation, told.system)
    assert (os.uname().machine, str(python.parent.parent)) == (told.machine, told.prefix)
    assert told.is_virtual_environment and not told.is_conda and not told.has_pip
    assert (str(site),) == told.site_packages
    assert str(site) in told.sys_path
    assert told.openssl_version.startswith("OpenSSL")
    assert () == told.missing_modules


def test_the_base_interpreter_is_no_virtual_environment(interpreter):
    """Prefix and base prefix agree; a user site-packages folder is named and enabled."""
    told = describe(interpreter("3.8"))
    assert not told.is_virtual_environment
    assert told.prefix == told.base_prefix
    assert told.user_site_enabled
    assert told.user_site.endswith("python3.8/site-packages")


def test_an_environment_that_sees_the_system(tmp_path, interpreter):
    """With --system-site-packages the base's folder is on the path, and the user's own may be."""
    folder = tmp_path / "venv"
    command = [interpreter("3.8"), "-m", "venv", "--without-pip", "--system-site-packages", str(folder)]
    subprocess.run(command, check=True)
    told = describe(str(folder / "bin" / "python"))
    assert told.is_virtual_environment and told.user_site_enabled
    assert 2 <= len([path for path in told.sys_path if path.endswith("site-packages")])


def test_pythonpath_is_on_the_search_path_and_the_working_folder_is_not(environment, tmp_path, monkeypatch):
    """The path is that of a script started now: PYTHONPATH in front, made absolute; no entry for `-c`'s folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "overlay")
    told = describe(str(environment()[0]))
    assert str(tmp_path / "overlay") == told.sys_path[0]
    assert str(tmp_path) not in told.sys_path


def test_a_pythonpath_that_breaks_every_start_leaves_the_isolated_answer(environment, tmp_path, monkeypatch):
    """A site.py of somebody else's in PYTHONPATH cannot take the description away."""
    (tmp_path / "overlay").mkdir()
    (tmp_path / "overlay" / "site.py").write_text("raise SystemExit('poisoned')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "overlay"))
    python, site = environment()
    told = describe(str(python))
    assert told.error is None
    assert str(site) in told.sys_path


def test_a_standard_module_that_does_not_load_is_missing(environment):
    """A build without OpenSSL and libffi is told by the names that users know."""
    python, site = environment()
    (site / "broken.pth").write_text("import sys; sys.modules['_ssl'] = sys.modules['_ctypes'] = None\n")
    told = describe(str(python))
    assert ("ssl", "ctypes") == told.missing_modules
    assert "" == told.openssl_version


def test_a_site_that_prints_does_not_disturb(environment):
    """Greetings on stdout from a .pth file are passed over."""
    python, site = environment()
    (site / "noise.pth").write_text("import sys; print('welcome', {'version': 1})\n")
    assert describe(str(python)).version.startswith("3.13.")


def test_a_prefix_in_chinese_in_an_ascii_terminal(environment, monkeypatch):
    """Neither the path nor the locale stands in the way."""
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    python, _ = environment("3.8", "环境")
    assert describe(str(python)).prefix.endswith("环境")


def broken(tmp_path: Path, kind: str) -> Path:
    """A path that is no usable interpreter, by kind."""
    path = tmp_path / "python"
    if kind == "folder":
        path.mkdir()
    elif kind == "dangling link":
        path.symlink_to(tmp_path / "gone")
    elif kind == "not executable":
        path.write_text("#!/bin/sh\n")
        path.chmod(0o644)
    elif kind == "another program":
        path.symlink_to("/bin/cat")
    elif kind == "silent program":
        path.symlink_to("/bin/true")
    elif kind == "no program":
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o755)
    elif kind == "killed":
        fakes.program(tmp_path, "python", "kill -SEGV $$")
    elif kind == "hanging":
        fakes.program(tmp_path, "python", "exec sleep 60")
    elif kind == "no standard library":
        fakes.program(tmp_path, "python", "echo 'Fatal Python error: init_fs_encoding: failed' >&2; exit 1")
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", "There is no interpreter at `{path}`."),
        ("folder", "`{path}` is a folder, not an interpreter."),
        ("dangling link", "`{path}` is a link to `{folder}/gone`, which is not there."),
        ("not executable", "`{path}` is not executable by this user."),
        (
            "another program",
            "`{path}` does not behave like a Python (exit status 1). It said: {path}: invalid",
        ),
        ("silent program", "`{path}` does not behave like a Python (exit status 0)."),
        ("no program", "`{path}` could not be started: "),
        ("killed", "`{path}` was killed by SIGSEGV before it could say what it is."),
        ("hanging", "`{path}` did not answer within 1 s."),
        (
            "no standard library",
            "`{path}` is a Python that does not start (exit status 1). It said: Fatal Python",
        ),
    ],
)
def test_broken_interpreters_give_one_sentence(tmp_path, monkeypatch, kind, expected):
    """Each says what was tried and what came back; nothing is raised, and nothing else is claimed."""
    monkeypatch.setattr(module, "TIMEOUT_SECONDS", 1.0)
    path = broken(tmp_path, kind)
    told = describe(str(path))
    assert told.error.startswith(expected.format(path=path, folder=tmp_path))
    assert "\n" not in told.error
    assert ("", ()) == (told.version, told.sys_path)
