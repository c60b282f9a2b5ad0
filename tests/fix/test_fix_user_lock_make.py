"""Making a user's lock over a tiny profile: pip-tools, wheels and generations are real; only the training is told."""

import hashlib
import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.cli import run as envdoc
from envdoc.doctor.errors import EnvdocError, FixError
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.fix.apply import apply
from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.fix.pip_installer import PipInstaller
from envdoc.doctor.fix.pythons import Python
from envdoc.doctor.fix.user_lock import read_user_lock
from envdoc.doctor.lock import make, proof, wheels
from envdoc.doctor.lock.additions import only_named, read_additions
from envdoc.doctor.lock.tools import pip_tools

pytest.importorskip("piptools")
pytestmark = pytest.mark.slow
PYTHON = Python(tools.MINOR, tools.BASE, sys.version.split()[0])
TRAINED = "envdoc train: 15 steps on cpu, loss 4.885 to 4.711, adapter verified (3 s)"


def silent(line):
    """No report."""


@pytest.fixture
def stocked(shop, no_index, monkeypatch):
    """The shop with what users add, in a folder of pip's own configuration; pip-tools is that of the tests."""
    for name, version, requires in (
        ("gamma", "1.0", ["beta>=2"]),
        ("gamma", "2.0", ["beta>=2", "delta"]),
        ("delta", "0.5", []),
        ("delta", "0.6", []),
        ("crossed", "1.0", ["beta<2"]),
        ("relic", "0.1.dev1", []),
    ):
        shop.hashes[f"{name}-{version}"] = tools.make_wheel(shop.wheels, name, version, requires)
    for name, version in (("relic", "3.0"), ("raw", "1.5")):
        with tarfile.open(str(shop.wheels / f"{name}-{version}.tar.gz"), "w:gz"):
            pass
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    monkeypatch.setattr(make, "pip_tools", lambda python, home, report: Path(sys.executable))
    return shop


def additions(tmp_path, *arguments, files=()):
    """What these arguments and files add, in the test's folder."""
    return read_additions(arguments, files, tmp_path, silent)


def lock(shop, home, tmp_path, *arguments, before=None, upgrade=None, examine=None, train=None, files=()):
    """One lock over the tiny profile."""
    profile = shop.profile()
    request = make.Request(
        profile, shop.interpreter(), additions(tmp_path, *arguments, files=files), before, upgrade
    )
    return make.make_lock(
        request,
        [profile],
        Snapshot(),
        home,
        examine or (lambda python: []),
        train or (lambda python: TRAINED),
        silent,
        PipInstaller(),
    )


def versions(locked):
    """Package -> version of a lock."""
    return {pin.name: pin.version for pin in locked.pins}


def test_a_lock_is_built_proved_and_builds_the_same_elsewhere(stocked, home, tmp_path):
    """Pins of the profile stay, additions come with their dependencies and hashes; plain pip installs the file too."""
    trained = []
    made = lock(stocked, home, tmp_path, "gamma", train=lambda python: trained.append(python) or TRAINED)
    assert {"alpha": "1.0", "beta": "2.0", "gamma": "2.0", "delta": "0.6"} == versions(made)
    assert {"gamma": (stocked.hashes["gamma-2.0"],), "delta": (stocked.hashes["delta-0.6"],)} == {
        pin.name: pin.hashes for pin in made.added
    }
    assert ([str(made.generation.python)], made.generation) == (trained, Generations(home).current())
    assert f"# probe: {TRAINED}\n" in made.text
    assert "://" not in made.text
    assert str(stocked.wheels) not in made.text
    path = tmp_path / "envdoc.lock.txt"
    path.write_text(made.text)

    read = read_user_lock(path, tmp_path / "other-home")
    assert (made.profile.lock_sha256, "tiny", ("gamma",)) == (
        read.profile.lock_sha256,
        read.base,
        read.arguments,
    )
    there = apply(
        stocked.plan(read.profile), tmp_path / "other-home", lambda python: [], silent, PipInstaller()
    )
    packages = [
        json.loads((g.folder / "envdoc-receipt.json").read_text())["packages"]
        for g in (made.generation, there)
    ]
    assert packages[0] == packages[1]

    plain = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--require-hashes",
        "-r",
    ]
    done = subprocess.run([*plain, str(path)], check=True, capture_output=True, text=True)
    assert "Would install alpha-1.0 beta-2.0 delta-0.6 gamma-2.0" in done.stdout


def test_what_was_pinned_stays_until_it_is_upgraded(stocked, home, tmp_path):
    """A newer release on the index changes nothing by itself; `--upgrade` takes it for all (for one: below)."""
    resolved = []
    held = make.pins_of_profile(stocked.profile())
    pinned = (make.Pin("delta", "0.5", ("x",)), make.Pin("gamma", "1.0", ("x",)))
    old = make.UserLock(tmp_path, stocked.profile(), "tiny", (), (), pinned)
    for upgrade in (None, []):
        request = make.Request(stocked.profile(), PYTHON, additions(tmp_path, "gamma", "delta"), old, upgrade)
        pins, _ = make._resolved(request, held, [], home, tmp_path, silent)
        resolved.append([f"{pin.name} {pin.version}" for pin in pins])
    assert [["delta 0.5", "gamma 1.0"], ["delta 0.6", "gamma 2.0"]] == resolved


def test_the_command_reads_a_file_takes_that_python_and_upgrades_one(
    stocked, home, tmp_path, monkeypatch, capsys
):
    """`lock -r FILE --python PATH`, then `lock --upgrade delta`: the first lock's additions are remembered."""
    newer = [stocked.wheels / f"{name}-py3-none-any.whl" for name in ("delta-0.6", "gamma-2.0")]
    for wheel in newer:
        wheel.rename(wheel.with_suffix(".aside"))
    shop_profile = stocked.profile()
    monkeypatch.setattr("envdoc.doctor.fix.profiles.load_profiles", lambda: (shop_profile,))
    monkeypatch.setattr("envdoc.doctor.commands.fix._examiner", lambda accepted: lambda python: [])
    monkeypatch.setattr(proof, "train", lambda python: TRAINED)
    monkeypatch.setenv("ENVDOC_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "needs.txt").write_text("gamma\ndelta\n")

    assert 0 == envdoc(["lock", "-r", "needs.txt", "--python", tools.BASE]), capsys.readouterr()
    made = read_user_lock(tmp_path / "envdoc.lock.txt", home)
    assert (("needs.txt",), {"alpha": "1.0", "beta": "2.0", "gamma": "1.0", "delta": "0.5"}) == (
        made.files,
        versions(made),
    )
    assert tools.MINOR == ".".join(Generations(home).current().python_version.split(".")[:2])

    for wheel in newer:
        wheel.with_suffix(".aside").rename(wheel)
    assert 0 == envdoc(["lock", "--upgrade", "delta"]), capsys.readouterr()
    upgraded = versions(read_user_lock(tmp_path / "envdoc.lock.txt", home))
    assert {"alpha": "1.0", "beta": "2.0", "gamma": "1.0", "delta": "0.6"} == upgraded
    assert "-delta==0.5\n+delta==0.6\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "sentence", "hint"),
    [
        ("alpha>=2", "You ask for alpha>=2, and the profile tiny holds 1.0.", "Leave alpha out"),
        ("crossed", "crossed 1.0 needs beta<2, and the profile tiny holds 2.0.", "Loosen the bound"),
        ("raw", "raw 1.5 is on the package index as source only, and envdoc compiles nothing", "Leave raw out"),
        ("relic", "relic 3.0 is on the package index as source only (the last wheel is 0.1.dev1", "Leave relic out"),
        ("nowhere", "The package index has no package `nowhere`", "spelling"),
        ("gamma>5", "The package index has no release of gamma>5", "The newest that it has is 2.0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_in_one_sentence(asked, sentence, hint, stocked, home, tmp_path):
    """Both sides of a conflict and what would be compiled are named, before anything is built."""
    with pytest.raises(FixError) as caught:
        lock(stocked, home, tmp_path, asked)
    assert sentence in caught.value.message
    assert hint in (caught.value.hint or "")
    assert not (home / "envs").exists()


def test_a_lock_that_does_not_pass_switches_nothing(stocked, home, tmp_path):
    """An addition that cannot be imported: its generation goes, and the sentence says why."""
    tools.make_wheel(stocked.wheels, "broken", "1.0", ["nothing-of-the-kind; python_version<'3'"])
    wheel = stocked.wheels / "broken-1.0-py3-none-any.whl"
    with zipfile.ZipFile(str(wheel), "a") as archive:
        archive.writestr("broken.py", "")
        archive.writestr("broken-1.0.dist-info/top_level.txt", "broken_module\n")
    with pytest.raises(
        FixError, match="broken cannot be imported in the new environment: ModuleNotFoundError"
    ):
        lock(stocked, home, tmp_path, "broken")

    assert (None, []) == (Generations(home).current(), list((home / "envs").iterdir()))


def test_an_environment_in_which_nothing_trains_is_no_proof(tmp_path):
    """The real `envdoc train`, in an interpreter without torch: one sentence, and nothing counts as proved."""
    with pytest.raises(FixError, match=r"No adapter could be trained and verified .*has no torch"):
        proof.train(sys.executable)


def test_an_index_without_hashes_is_hashed_by_what_it_serves(stocked, home, index, tmp_path):
    """The loopback index tells no hash and no size, and knows no HEAD: the added wheel is fetched and summed."""
    served = index()
    found = wheels.look_up(Path(sys.executable), {"delta": "0.5"}, tmp_path)
    file = stocked.wheels / "delta-0.5-py3-none-any.whl"
    assert (hashlib.sha256(file.read_bytes()).hexdigest(),) == found["delta"].hashes
    assert (file.stat().st_size, 0) == (found["delta"].size_bytes, found["delta"].glibc_minor)
    assert ["delta-0.5-py3-none-any.whl"] == served.requests


def test_additions_come_from_arguments_files_and_a_project(tmp_path):
    """envdoc.in always, requirements with includes and continuations, a pyproject; options are told and left out."""
    told = []
    (tmp_path / "envdoc.in").write_text("gamma  # mine\n")
    (tmp_path / "more.txt").write_text(
        "delta==0.5 \\\n    --hash=sha256:00\n-r sub.txt\n--index-url https://u:p@h/x\n"
    )
    (tmp_path / "sub.txt").write_text("Alpha_B[x]>1 ; python_version >= '3.8'\n-c bounds.txt\n")
    (tmp_path / "bounds.txt").write_text("beta<3\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "p"\ndependencies = ["eps"]\n')
    read = read_additions(["zeta>=1"], ["more.txt", "pyproject.toml"], tmp_path, told.append)
    assert ("zeta", "gamma", "delta", "alpha-b", "eps") == read.names
    assert (("beta<3",), ("envdoc.in", "more.txt", "pyproject.toml")) == (read.constraints, read.files)
    assert 1 == len(told)
    assert "Line 4" in told[0]
    assert "u:p" not in told[0]
    assert ("gamma",) == only_named(read, ["Gamma"], {})
    with pytest.raises(EnvdocError, match="the lock holds no other"):
        only_named(read, ["other"], {})


@pytest.mark.parametrize(
    "line", ["-e .", "./wheel.whl", "git+https://u:pw@example.org/x", "x @ https://h/x.whl"]
)
def test_what_a_lock_cannot_hold_is_refused_with_its_line(line, tmp_path):
    """Addresses and folders have no hash that holds on another machine."""
    (tmp_path / "envdoc.in").write_text(f"# mine\ngamma\n{line}\n")
    with pytest.raises(EnvdocError, match=r"Line 3 of .*is a folder or an address") as caught:
        read_additions([], [], tmp_path, silent)
    assert "pw" not in caught.value.message
    with pytest.raises(EnvdocError, match="The argument `a b` is no requirement"):
        read_additions(["a b"], [], tmp_path / "none", silent)


def test_pip_tools_get_an_environment_once_and_anew_after_a_kill(shop, home, no_index, tmp_path, monkeypatch):
    """Built under a marker and used again; with the marker it was interrupted and is built anew, or not at all."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    relock = tmp_path / "relock.txt"
    relock.write_text(f"beta==2.0 --hash=sha256:{shop.hashes['beta']}\n")
    monkeypatch.setattr("envdoc.doctor.lock.tools.lock_path", lambda name: relock)
    told = []
    first = pip_tools(PYTHON, home, told.append)
    assert (first, 1) == (pip_tools(PYTHON, home, told.append), len(told))
    (first.parent.parent / ".incomplete").touch()
    tools.make_wheel(shop.wheels, "beta", "2.0", filler=b"another")
    with pytest.raises(FixError, match=r"The hash of beta==2.0 differs"):
        pip_tools(PYTHON, home, told.append)
    assert [] == list((home / "tools").glob("pip-tools-*/"))
