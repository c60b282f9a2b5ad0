"""`envdoc fetch` and `fix --wheelhouse`: built with a network, used without one."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.cli import run as envdoc
from envdoc.doctor.errors import FixError
from envdoc.doctor.fix.apply import apply
from envdoc.doctor.fix.fetch import Order, fetch
from envdoc.doctor.fix.own_wheel import pack_own_wheel
from envdoc.doctor.fix.pins import Machine, read_pins
from envdoc.doctor.fix.pip_installer import PipInstaller
from envdoc.doctor.fix.user_lock import pins_of_profile
from envdoc.doctor.fix.wheelhouse import held_profiles, lacking
from envdoc.doctor.lock.additions import Additions
from envdoc.doctor.lock.document import lock_text

PYTHON = Path(sys.executable)


@pytest.fixture
def order(shop):
    """alpha and beta, with their constraints and sizes beside the lock."""
    profile = shop.profile()
    (shop.locks / "tiny.constraints.txt").write_text("alpha<2\n")
    rows = "".join(
        f'[[packages]]\nname = "{name}"\nversion = "{path.name.split("-")[1]}"\nwheels = [{{name = "{path.name}", '
        f'path = "{path.name}", size = {path.stat().st_size}, hashes = {{sha256 = "{shop.hashes[name]}"}}}}]\n'
        for name, path in ((n, next(shop.wheels.glob(f"{n}-*"))) for n in ("alpha", "beta"))
    )
    (shop.locks / "pylock.tiny.toml").write_text(f'lock-version = "1.0"\ncreated-by = "test"\n{rows}')
    return Order("tiny", Machine(tools.MINOR), (profile.lock,))


def filled(order, folder, home, told=None):
    """The folder after one `fetch`."""
    fetch(order, folder, PYTHON, home, told.append if told is not None else lambda line: None)
    return {path.name for path in folder.iterdir()}


def test_a_wheelhouse_has_wheels_locks_sums_and_a_readme(order, index, home, tmp_path):
    """What `sha256sum -c` accepts; a second run fetches nothing."""
    served, told = index(), []
    names = filled(order, tmp_path / "w", home, told)
    wanted = {
        "tiny.txt",
        "tiny.constraints.txt",
        "pylock.tiny.toml",
        "SHA256SUMS",
        "README.txt",
        "doctor.txt",
    }
    assert wanted | {"alpha-1.0-py3-none-any.whl", "beta-2.0-py3-none-any.whl"} <= names
    assert told[0].startswith(
        f"`tiny` for Python {tools.MINOR}: 2 wheels, 0 of them here; 0.2 MB to download, "
    )
    assert any(
        line.startswith("What envdoc itself needs is not among them: The package index lacks")
        for line in told
    )
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=str(tmp_path / "w"), check=True)
    assert names == filled(order, tmp_path / "w", home)
    assert 2 == len(served.requests)


def test_a_damaged_wheelhouse_is_mended(order, index, home, tmp_path):
    """Only what lacks or is wrong is fetched again."""
    served = index(ranges=True)
    filled(order, tmp_path / "w", home)
    (tmp_path / "w" / "beta-2.0-py3-none-any.whl").write_bytes(b"cut")
    filled(order, tmp_path / "w", home)
    assert ["alpha", "beta", "beta"] == sorted(name.split("-")[0] for name in served.requests)


def test_a_disk_that_is_too_small_is_refused_before_anything(order, index, home, tmp_path, monkeypatch):
    """Sizes are known from the pylock."""
    served = index()
    monkeypatch.setattr("envdoc.doctor.fix.fetch._MARGIN_BYTES", 10**18)
    with pytest.raises(FixError, match="Nothing was downloaded"):
        filled(order, tmp_path / "w", home)
    assert [] == served.requests


def test_completeness_is_checked_before_anything_is_built(shop, order, home, tmp_path):
    """A wheel that is not there, one cut short, one with other bytes: each is named, and no folder was made."""
    profile, house = shop.profile(), tmp_path / "w"
    shutil.copytree(str(shop.wheels), str(house))
    assert ([], (profile,)) == (lacking(profile, house), held_profiles(house, [profile]))
    beta = house / "beta-2.0-py3-none-any.whl"
    whole = beta.read_bytes()
    beta.write_bytes(whole[:1000])
    assert [f"{beta.name} is incomplete: 1,000 of {len(whole):,} bytes"] == lacking(profile, house)
    beta.write_bytes(whole + b"x")
    (house / "alpha-1.0-py3-none-any.whl").unlink()
    assert ["alpha==1.0 is not there", f"{beta.name} has another hash than the lock's"] == lacking(
        profile, house
    )
    with pytest.raises(
        FixError, match=r"does not hold the whole of `tiny`: alpha==1.0 is not there; .* Nothing was"
    ):
        apply(
            shop.plan(profile), home, lambda python: [], lambda line: None, PipInstaller(), wheelhouse=house
        )
    assert [] == list((home / "envs").iterdir())
    with pytest.raises(FixError) as caught:
        held_profiles(house, [profile])
    assert "`envdoc fetch --profile tiny --to DIR`" in caught.value.hint


def test_the_profile_that_the_wheelhouse_holds_is_taken(shop, tmp_path):
    """Another one may be better for the machine; its wheels are not there."""
    best = shop.profile("best", lines=[f"gamma==3.0 --hash=sha256:{'1' * 64}"])
    tiny = shop.profile()
    assert (tiny,) == held_profiles(shop.wheels, [best, tiny])


OFFLINE = """
import pickle, subprocess, sys
from pathlib import Path
from envdoc.doctor.fix.apply import apply, find_installer
from envdoc.doctor.fix.pip_installer import PipInstaller
plan, home = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])
tool = PipInstaller() if sys.argv[4] == "pip" else find_installer()
made = apply(plan, home, lambda python: [], print, tool, wheelhouse=Path(sys.argv[3]))
subprocess.run([str(made.python), "-c", "import alpha, beta"], check=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pip", "uv"])
def test_fix_from_a_wheelhouse_in_a_network_namespace_of_its_own(
    name, shop, order, index, no_index, home, tmp_path
):
    """Not even the loopback is up there; pip's configuration still names the index."""
    if subprocess.run(["unshare", "-rn", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("this machine allows no network namespace of one's own")
    index()
    filled(order, tmp_path / "w", home)
    import pickle

    (tmp_path / "plan").write_bytes(pickle.dumps(shop.plan(shop.profile(), name)))
    arguments = [str(tmp_path / "plan"), str(home), str(tmp_path / "w"), name]
    done = subprocess.run(
        ["unshare", "-rn", sys.executable, "-c", OFFLINE, *arguments], stderr=subprocess.PIPE, timeout=300
    )
    assert (0, "") == (done.returncode, done.stderr.decode())


def test_envdocs_own_wheel_is_packed_from_what_is_installed(tmp_path):
    """The same files as those of the installation, with a RECORD that fits; nothing of it comes from an index."""
    made = pack_own_wheel(tmp_path)
    if made is None:
        pytest.skip("envdoc runs from a checkout here")
    with zipfile.ZipFile(str(made)) as archive:
        names = archive.namelist()
        record = next(name for name in names if name.endswith("/RECORD"))
        listed = [line.split(",")[0] for line in archive.read(record).decode().splitlines()]
        entry = archive.read(record.replace("RECORD", "entry_points.txt")).decode()
    assert sorted(names) == sorted(listed)
    assert "envdoc = envdoc.doctor.__main__:main" in entry
    assert "envdoc/doctor/cli.py" in names


def test_a_lock_for_another_python_takes_that_pythons_wheels():
    """Markers and tags are the other machine's."""
    text = f"a==1 ; python_version < '3.9' --hash=sha256:{'1' * 64}\nb==2 \\\n    --hash=sha256:{'2' * 64} # why\n"
    assert ["a==1", "b==2"] == [str(pin) for pin in read_pins(text, Machine("3.8"))]
    assert ["b==2"] == [str(pin) for pin in read_pins(text, Machine("3.13"))]
    with pytest.raises(FixError, match="is not pinned to one version with a sha256"):
        read_pins("torch>=2")


def test_the_command_line_refuses_what_it_cannot_do(tmp_path, home, monkeypatch, capsys):
    """One sentence each, exit code 2."""
    monkeypatch.setenv("ENVDOC_HOME", str(home))
    for arguments, sentence in (
        (["--profile", "nothing"], "There is no profile `nothing`."),
        (["--profile", "cpu-py311", "--python", "3.8"], "`cpu-py311` is locked for Python 3.11"),
        (["--python", "new"], "`--python new` is no version."),
        (["--lock", "no.txt"], "There is no lock at `no.txt`."),
    ):
        assert 2 == envdoc(["fetch", "--to", str(tmp_path / "w"), *arguments])
        assert sentence in " ".join(capsys.readouterr().err.split())


def test_the_lock_beside_the_project_is_fetched(shop, index, home, tmp_path, monkeypatch, capsys):
    """As `fix` finds it; the Python is the lock's own, and another one is refused."""
    index()
    monkeypatch.setenv("ENVDOC_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    tiny = shop.profile()
    text = lock_text(tiny, "tiny", Additions(), pins_of_profile(tiny))
    Path("envdoc.lock.txt").write_text(text)
    assert 2 == envdoc(["fetch", "--python", "2.7"])
    assert f"is locked for Python {tiny.python}" in " ".join(capsys.readouterr().err.split())
    assert 0 == envdoc(["fetch", "--to", "w"])
    assert "Fetching what `envdoc.lock.txt` holds" in " ".join(capsys.readouterr().err.split())
    assert {"alpha-1.0-py3-none-any.whl", "beta-2.0-py3-none-any.whl", "envdoc.lock.txt"} <= {
        path.name for path in Path("w").iterdir()
    }
    assert text == Path("w", "envdoc.lock.txt").read_text()
