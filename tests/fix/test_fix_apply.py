"""The transaction with real environments and real installers: all or nothing, whatever happens in the middle."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.errors import FixError
from envdoc.doctor.finding import Kind, Severity
from envdoc.doctor.fix.apply import apply, find_installer
from envdoc.doctor.fix.generations import Generations
from envdoc.doctor.fix.pip_installer import PipInstaller

pytestmark = pytest.mark.slow

WRONG = "0" * 64


def installer(name):
    """The real tool of that name; uv lies beside the interpreter of the tests."""
    found = PipInstaller() if name == "pip" else find_installer()
    assert name == found.name
    return found


def healthy(python):
    """Every check passes; the interpreter that is examined must run what was installed."""
    subprocess.run([python, "-c", "import alpha, beta"], check=True)
    return []


def silent(line):
    """No report."""


def lines_of(path):
    """The events of a journal, by name."""
    return [json.loads(line)["event"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_apply_builds_checks_and_switches_then_uses_it_again(name, shop, home, no_index):
    """pip's own configuration (find-links in a pip.conf) is honoured by either tool; a second apply builds nothing."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    shop.python = tools.BASE  # with venv's own ensurepip
    plan, seen, told = shop.plan(shop.profile(), name), [], []

    def examine(python):
        seen.append(python)
        return healthy(python)

    made = apply(plan, home, examine, told.append, installer(name))
    assert "../" not in os.readlink(home / "current")
    assert made == Generations(home).current()
    assert f"0001-tiny-{plan.choice.profile.lock_sha256[:12]}" == made.name
    assert [str(made.python)] == seen
    receipt = json.loads((home / "current" / "envdoc-receipt.json").read_text())
    assert ("1.0", "2.0", name) == (
        receipt["packages"]["alpha"],
        receipt["packages"]["beta"],
        receipt["installer"],
    )
    assert not (made.folder / ".incomplete").exists()
    assert not (made.folder / ".tmp").exists()
    assert ["begin", "complete", "switch"] == lines_of(home / "journal.jsonl")

    started = time.monotonic()
    again = apply(plan, home, examine, told.append, installer(name))
    assert (made.name, 1) == (again.name, len(Generations(home).list()))
    assert time.monotonic() - started < 2
    assert any("was built from the same lock" in line for line in told)


def test_a_generation_that_no_longer_passes_is_built_anew(shop, home, no_index):
    """A damaged environment of the same lock is not trusted: its successor has another number."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    plan = shop.plan(shop.profile())
    first = apply(plan, home, healthy, silent, PipInstaller())

    def damaged(python):
        return [tools.check()] if str(first.folder) in python else []

    second = apply(plan, home, damaged, silent, PipInstaller())
    assert ([1, 2], 2) == ([item.number for item in Generations(home).list()], second.number)
    assert second.is_current


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_a_wrong_hash_is_refused_and_nothing_is_switched(name, shop, home, no_index):
    """A file that is not the locked one stops the build; no generation is left behind."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    plan = shop.plan(shop.profile(hashes={"beta": WRONG}), name)
    with pytest.raises(FixError) as caught:
        apply(plan, home, healthy, silent, installer(name))
    assert caught.value.message.startswith(
        "The hash of beta==2.0 differs from the lock's: the index or a mirror serves another file. beta-2.0"
    )
    assert f"expected sha256 {WRONG}, got {shop.hashes['beta']}." in caught.value.message
    assert ((), None) == (Generations(home).list(), Generations(home).current())
    assert [] == list((home / "envs").iterdir())


def test_an_error_that_the_new_environment_causes_refuses_it(shop, home, no_index):
    """Errors of the host stood before and do not count; a code that the plan told already is accepted."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    plan = shop.plan(shop.profile())
    with pytest.raises(FixError, match="The new environment does not work: TOR001 title of TOR001"):
        apply(plan, home, lambda python: [tools.check()], silent, PipInstaller())
    assert [] == list((home / "envs").iterdir())
    harmless = [
        tools.check(kind=Kind.HOST, code="DRV001"),
        tools.check(severity=Severity.WARNING, code="PKG001"),
        tools.check(code="TOR004"),
    ]
    made = apply(plan, home, lambda python: harmless, silent, PipInstaller(), accepted_codes=["TOR004"])
    receipt = json.loads((made.folder / "envdoc-receipt.json").read_text())
    assert {"fail": 3} == receipt["checks"]


def test_a_disk_that_is_too_small_is_refused_before_anything_is_made(shop, home):
    """The need is compared with the disk of envdoc's folder first."""
    profile = shop.profile(extra="")
    text = (shop.locks / "profiles.toml").read_text()
    (shop.locks / "profiles.toml").write_text(
        text.replace("venv_bytes = 30_000_000", f"venv_bytes = {10**18}")
    )
    profile = tools.load_profiles(shop.locks)[0]
    with pytest.raises(FixError, match=r"needs 1000000000\.\d\d GB while it is built"):
        apply(shop.plan(profile), home, healthy, silent, PipInstaller())
    assert [] == list((home / "envs").iterdir())


def test_no_profile_is_one_sentence(shop, home):
    """A plan without a profile says the fact against each."""
    plan = shop.plan(shop.profile())
    nothing = tools.choose(tools.Snapshot(), [], [plan.choice.profile])
    with pytest.raises(
        FixError, match=f"No profile fits this machine. tiny: there is no Python {tools.MINOR}"
    ):
        apply(tools.make_plan([], nothing, tools.Snapshot()), home, healthy, silent)


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_a_download_that_breaks_off_is_tried_again(name, shop, home, index, monkeypatch):
    """Half a file the first time, all of it the second: the build goes on, and says why it took longer."""
    monkeypatch.setattr("envdoc.doctor.fix.installer._PAUSES_SECONDS", (0.0, 0.0))
    served = index(
        spoil=lambda file, body, count: body[: len(body) // 2] if count == 1 and "beta" in file else body
    )
    told = []
    made = apply(shop.plan(shop.profile(), name), home, healthy, told.append, installer(name))
    assert made.is_current
    assert 2 <= served.requests.count("beta-2.0-py3-none-any.whl")


def test_other_bytes_each_time_are_an_incomplete_download_and_not_a_wrong_file(shop, home, index):
    """Different fragments: the sentence says to run it again, and not that the index serves another file."""
    index(spoil=lambda file, body, count: body[: 1000 * count] if "beta" in file else body)
    with pytest.raises(FixError) as caught:
        apply(shop.plan(shop.profile()), home, healthy, silent, PipInstaller())
    assert caught.value.message.startswith("beta-2.0-py3-none-any.whl is incomplete where it comes from (")
    assert "Run it again: what has arrived is kept" in caught.value.hint
    assert None is Generations(home).current()


def test_a_package_that_the_index_lacks_is_named(shop, home, index):
    """A mirror that lags behind is told from a broken network."""
    index()
    (shop.wheels / "beta-2.0-py3-none-any.whl").unlink()
    with pytest.raises(FixError, match=r"The package index lacks a pinned file: .*beta"):
        apply(shop.plan(shop.profile()), home, healthy, silent, PipInstaller())


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_a_wheelhouse_needs_no_index(name, shop, home, no_index):
    """`--wheelhouse DIR` installs from that folder, whatever pip's configuration names."""
    no_index.write_text("[global]\nindex-url = http://127.0.0.1:9/simple\n")
    plan = shop.plan(shop.profile(), name)
    assert apply(plan, home, healthy, silent, installer(name), wheelhouse=shop.wheels).is_current


@pytest.mark.parametrize("name", ["pip", "uv"])
@pytest.mark.parametrize("offered", [True, False])
def test_torchs_cpu_build_is_taken_where_it_is_offered(name, offered, shop, home, no_index):
    """With the CPU build the CUDA libraries stay away; with the default wheel they come along."""
    default = tools.make_wheel(shop.wheels, "torch", "1.0")
    cpu = tools.make_wheel(shop.wheels, "torch", "1.0+cpu")
    libraries = tools.make_wheel(shop.wheels, "cudalibs", "3.0")
    if not offered:
        (shop.wheels / "torch-1.0+cpu-py3-none-any.whl").unlink()
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    (shop.locks / "tiny.cuda.txt").write_text(f"cudalibs==3.0 --hash=sha256:{libraries}\n")
    profile = shop.profile(
        lines=[f"torch==1.0 --hash=sha256:{default} --hash=sha256:{cpu}"],
        extra=f'cpu_build_sha256 = "{cpu}"\ncpu_build_download_bytes = 1\ncpu_build_venv_bytes = 20_000_000\n',
    )
    made = apply(shop.plan(profile, name), home, lambda python: [], silent, installer(name))
    packages = json.loads((made.folder / "envdoc-receipt.json").read_text())["packages"]
    assert ("1.0+cpu" if offered else "1.0", not offered) == (packages["torch"], "cudalibs" in packages)


CHILD = """
import pickle, sys
from pathlib import Path
from envdoc.doctor.fix.apply import apply
from envdoc.doctor.fix.pip_installer import PipInstaller
plan, home = pickle.loads(Path(sys.argv[1]).read_bytes()), Path(sys.argv[2])
apply(plan, home, lambda python: [], lambda line: print(line, flush=True), PipInstaller())
"""


def start_and_wait_for_the_download(shop, home, plan, served, tmp_path):
    """A real envdoc in a child, in the middle of fetching beta."""
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps(plan))
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "plan.pickle"), str(home)])
    for _ in range(600):
        if "beta-2.0-py3-none-any.whl" in served.requests:
            return child
        assert child.poll() is None, "the build ended before its download began"
        time.sleep(0.1)
    raise AssertionError("no download began within a minute")


def wait_for_nobody(folder):
    """True once no process works in that folder any more."""
    for _ in range(100):
        if not tools.holders(folder):
            return True
        time.sleep(0.1)
    return False


@pytest.fixture
def first(shop, home, no_index):
    """A generation that is current, of another lock."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")
    lines = [f"beta==2.0 --hash=sha256:{shop.hashes['beta']}"]
    return apply(
        shop.plan(shop.profile("older", lines=lines)), home, lambda python: [], silent, PipInstaller()
    )


def test_kill_9_in_the_middle_leaves_current_as_it_was(first, shop, home, index, tmp_path):
    """The link still names the first generation, no orphan writes on, and the next apply clears up and succeeds."""
    plan = shop.plan(shop.profile())
    served = index(seconds_a_block=1.0)
    child = start_and_wait_for_the_download(shop, home, plan, served, tmp_path)
    child.kill()
    child.wait()
    assert wait_for_nobody(home / "envs")
    assert (first.name, [first.name]) == (
        Generations(home).current().name,
        [item.name for item in Generations(home).list()],
    )
    left = [folder.name for folder in (home / "envs").iterdir() if folder.name != first.name]
    assert 1 == len(left)

    index()
    told = []
    made = apply(plan, home, healthy, told.append, PipInstaller())
    assert f"Removed `{left[0]}`, which an interrupted build had left." in told
    assert {first.name, made.name} == {folder.name for folder in (home / "envs").iterdir()}
    assert (made.name, 3) == (Generations(home).current().name, made.number)


def test_ctrl_c_in_the_middle_clears_up(first, shop, home, index, tmp_path):
    """The half-built folder is gone, pip is gone, and the link is as it was."""
    served = index(seconds_a_block=1.0)
    child = start_and_wait_for_the_download(shop, home, shop.plan(shop.profile()), served, tmp_path)
    child.send_signal(signal.SIGINT)
    assert 0 != child.wait(30)
    assert wait_for_nobody(home / "envs")
    assert [first.name] == [folder.name for folder in (home / "envs").iterdir()]
    assert first.name == Generations(home).current().name


def test_two_at_once_are_refused(first, shop, home, index, tmp_path):
    """The second is told which process is at work; the first is not disturbed."""
    plan = shop.plan(shop.profile())
    served = index(seconds_a_block=0.4)
    child = start_and_wait_for_the_download(shop, home, plan, served, tmp_path)
    with pytest.raises(FixError, match=rf"Another envdoc \(process {child.pid}\) is at work"):
        apply(plan, home, healthy, silent, PipInstaller())
    with pytest.raises(FixError, match="Another envdoc"):
        Generations(home).rollback()
    assert 0 == child.wait(120)
    assert "tiny" == Generations(home).current().profile


def test_a_disk_that_fills_up_at_the_switch_leaves_current_as_it_was(first, shop, home, no_index):
    """The journal goes to a device that is always full: the switch fails as a whole."""
    journal = home / "journal.jsonl"

    def fill(python):
        journal.rename(home / "kept.jsonl")
        journal.symlink_to("/dev/full")
        return []

    with pytest.raises(FixError, match=r"journal .* cannot be written: No space left on device"):
        apply(shop.plan(shop.profile()), home, fill, silent, PipInstaller())
    assert first.name == Generations(home).current().name
    assert [first.name] == [folder.name for folder in (home / "envs").iterdir()]


def test_a_python_without_venv_names_the_package_to_install(shop, home, tmp_path):
    """An interpreter whose `-m venv` fails gives one sentence and the command for it."""
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'ensurepip is not available' >&2\nexit 1\n")
    broken.chmod(0o755)
    profile = shop.profile()
    choice = tools.choose(tools.Snapshot(), [tools.Python(tools.MINOR, str(broken), "3.x")], [profile])
    plan = tools.make_plan([], choice, tools.Snapshot())
    with pytest.raises(FixError, match="-m venv` failed: ensurepip is not available") as caught:
        apply(plan, home, healthy, silent, PipInstaller())
    assert f"sudo apt-get install python{tools.MINOR}-venv" in caught.value.hint


def test_rollback_goes_back_to_the_generation_before(first, shop, home, no_index):
    """A real second generation, and back: the interpreter behind the link is the first one's again."""
    apply(shop.plan(shop.profile()), home, healthy, silent, PipInstaller())
    assert first.name == Generations(home).rollback().name
    done = subprocess.run([str(home / "current/bin/python"), "-c", "import alpha"], stderr=subprocess.PIPE)
    assert b"No module named 'alpha'" in done.stderr
    assert Path(home / "current").resolve() == first.folder.resolve()
