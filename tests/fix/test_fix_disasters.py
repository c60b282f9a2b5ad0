"""What goes wrong on rented machines while `fix --apply` is at work; each with the real thing, never with a mock."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fix_tools as tools
import killing
import pytest

from envdoc.doctor.cli import run as envdoc
from envdoc.doctor.fix.generations import Generations

pytestmark = pytest.mark.slow


@pytest.fixture
def python(quick_python):
    """An interpreter that makes environments quickly."""
    return quick_python


@pytest.fixture
def local(shop, no_index):
    """pip and uv find the wheels in a folder."""
    no_index.write_text(f"[global]\nno-index = true\nfind-links = {shop.wheels}\n")


@pytest.fixture
def build(shop, python, tmp_path, monkeypatch):
    """A function that writes the plan of a profile, and one that makes an older generation current."""

    class Build:
        home = tmp_path / "home"

        def plan(self, profile=None, name="plan"):
            return killing.write_plan(profile or shop.profile(), python, tmp_path / f"{name}.pickle")

        def older(self, home=None):
            """A generation of another lock, in use; its name and digest."""
            profile = shop.profile("older", lines=[f"beta==2.0 --hash=sha256:{shop.hashes['beta']}"])
            status, output = killing.finish(self.plan(profile, "older"), home or self.home)
            assert 0 == status, output
            made = Generations(home or self.home).current()
            return made.name, killing.digest(made.folder)

        def same(self, older, home=None):
            """The older generation is in use, alone, and works."""
            home = home or self.home
            now = Generations(home).current()
            assert older == (now.name, killing.digest(now.folder))
            assert killing.imports(home / "current/bin/python", "beta")
            assert {now.name} == killing.names(home / "envs")
            assert set() == killing.names(home) - killing.OWN

    monkeypatch.setenv("ENVDOC_HOME", str(Build.home))
    return Build()


def namespaced(script, *arguments, seconds=240, **environ):
    """A shell script as root of namespaces of its own, where it may mount; skipped where the system refuses that."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this system refuses mount namespaces, so that no full disk can be made")
    return subprocess.run(
        ["unshare", "-rm", "--propagation", "private", "sh", "-euc", script, "sh", *map(str, arguments)],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=seconds,
        check=False,
    )


def call_of(plan, home):
    """The words that apply a plan."""
    return [
        sys.executable,
        "-c",
        killing.CHILD,
        str(plan),
        str(home),
        str(plan.with_suffix(".log")),
        "0",
        "self",
    ]


FULL = """
home=$1; options=$2; old=$3; shift 3
mkdir -p "$home"; mount -t tmpfs -o "$options" none "$home"
cp -a "$old/." "$home/"
status=0; "$@" || status=$?
echo "status $status"
ls -A "$home" | sed 's/^/in home: /'; ls -A "$home/envs" | sed 's/^/in envs: /'; readlink "$home/current"
"$home/current/bin/python" -B -c 'import beta; print("beta", beta.VERSION)'
"""


@pytest.mark.parametrize(
    ("venvs", "kilobytes"), [(0, 0), (0, 8), (0, 300), (0.5, 0), (1, 20), (1, 150), (1, 250), (1, 330)]
)
def test_a_disk_that_is_full_at_any_stage(
    venvs, kilobytes, local, build, shop, python, tmp_path, monkeypatch
):
    """A real file system with room for so much: the old generation is in use, nothing is left, the cause is told."""
    older = build.older()
    kept = tmp_path / "kept"
    build.home.rename(kept)
    shop.profile()
    text = (shop.locks / "profiles.toml").read_text()
    (shop.locks / "profiles.toml").write_text(text.replace("= 200_000", "= 1").replace("= 30_000_000", "= 1"))
    plan = build.plan(
        tools.load_profiles(shop.locks)[0]
    )  # a size that is wrong: the refusal before is another test
    room = int(venvs * killing.kilobytes(python.parent / "template")) + kilobytes
    options = f"size={killing.kilobytes(kept) + 16 + room}k"
    done = namespaced(FULL, build.home, options, kept, *call_of(plan, build.home), UV_LINK_MODE="copy")
    output = done.stdout.decode()
    assert (0, False) == (done.returncode, "Traceback" in output), output
    assert "beta 2.0" in output, output
    if venvs == 1 and "status 0" in output:
        return  # it fitted in after all
    assert "status 2" in output, output
    assert any(word in output for word in ("GB free", "No space left", "disk is full")), output
    assert [f"in envs: {older[0]}"] == [line for line in output.splitlines() if line.startswith("in envs")], (
        output
    )
    assert f"envs/{older[0]}" in output.splitlines(), output


def test_a_file_system_without_inodes(local, build, tmp_path):
    """Room, but no file more can be made."""
    older = build.older()
    kept = tmp_path / "kept"
    build.home.rename(kept)
    files = sum(1 for _ in kept.rglob("*"))
    for more in (3, 60):
        options = f"size=2g,nr_inodes={files + more}"
        done = namespaced(FULL, build.home, options, kept, *call_of(build.plan(), build.home))
        output = done.stdout.decode()
        assert (0, True) == (done.returncode, "status 2" in output), output
        assert "Traceback" not in output, output
        assert [f"in envs: {older[0]}"] == [
            line for line in output.splitlines() if line.startswith("in envs")
        ]
        assert "beta 2.0" in output


READ_ONLY = """
home=$1; shift
mount --bind "$home" "$home"; mount -o remount,bind,ro "$home"
status=0; "$@" || status=$?
echo "status $status"
for command in generations rollback gc; do
  status=0; ENVDOC_HOME="$home" "$ENVDOC" $command || status=$?
  echo "$command $status"
done
"""


def test_a_folder_that_is_read_only(local, build):
    """Looking works; every change is one sentence."""
    older = build.older()
    program = str(Path(sys.executable).parent / "envdoc")
    done = namespaced(READ_ONLY, build.home, *call_of(build.plan(), build.home), ENVDOC=program)
    output = done.stdout.decode()
    assert 0 == done.returncode, output
    for line in ("status 2", "generations 0", "rollback 2", "gc 2"):
        assert line in output.splitlines(), output
    assert 3 == output.count("cannot be written: Read-only file system"), output
    build.same(older)


def test_a_cache_folder_that_cannot_be_written(local, build):
    """uv's cache lies on a read-only disk: a sentence, and uv goes on with one of the build's own."""
    older = build.older()
    cache = os.environ["UV_CACHE_DIR"]
    script = 'mount --bind "$1" "$1"; mount -o remount,bind,ro "$1"; shift; status=0; "$@" || status=$?; exit $status'
    done = namespaced(script, cache, *call_of(build.plan(), build.home))
    output = done.stdout.decode()
    assert (0, True) == (done.returncode, "uv's cache cannot be used: Read-only file system" in output), (
        output
    )
    assert ("uv", older[0]) == (built_with(build.home), Generations(build.home).rollback().name)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_end_of_the_session_clears_up(name, shop, build, index, local, no_index):
    """Ctrl-C, a machine that stops, a connection that drops: the half-built folder goes, and so does the installer."""
    older = build.older()
    served = index(seconds_a_block=0.5)
    child = killing.start(build.plan(), build.home, TEST_INSTALLER="pip")
    wait_for(lambda: served.requests)
    child.send_signal(getattr(signal, name))
    if name == "SIGHUP":
        child.send_signal(signal.SIGTERM)  # what a session manager sends right after it
    output = child.communicate(timeout=30)[0].decode()
    assert (130, True) == (child.returncode, output.endswith("stopped\n")), output
    assert killing.nobody_in(build.home / "envs")
    build.same(older)


def test_nohup_goes_on(local, build):
    """Who asked for SIGHUP to be ignored gets that."""
    plan = build.plan()
    child = killing.start(plan, build.home, before=["nohup"])
    wait_for(lambda: (build.home / "envs").is_dir() and list((build.home / "envs").iterdir()))
    child.send_signal(signal.SIGHUP)
    assert (0, "tiny") == (child.wait(120), Generations(build.home).current().profile)
    child.communicate()


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_an_index_that_goes_away_in_mid_download_and_comes_back(
    installer, shop, build, index, local, no_index
):
    """The build is given up with the old generation in use; when the index is back the next run finishes."""
    older = build.older()
    shutil.rmtree(os.environ["UV_CACHE_DIR"], ignore_errors=True)
    cut = []

    def broken(path, body, count):
        if "beta" in path:
            cut.append(path)
            return body[: len(body) // 2]
        return body

    index(spoil=broken)
    quick = {"UV_HTTP_RETRIES": "0", "TEST_INSTALLER": installer}
    status, output = killing.finish(build.plan(), build.home, **quick)
    assert (2, True) == (status, bool(cut)), output
    assert "Traceback" not in output
    build.same(older)
    index()
    status, output = killing.finish(build.plan(), build.home, **quick)
    assert (0, "tiny") == (status, Generations(build.home).current().profile), output


@pytest.mark.parametrize("installer", ["pip", "uv"])
def test_a_tampered_wheel_is_refused(installer, shop, build, index, local, no_index):
    """Other bytes of the same length, each time the same: the hash is named, and nothing of it stays."""
    older = build.older()
    shutil.rmtree(os.environ["UV_CACHE_DIR"], ignore_errors=True)
    index(spoil=lambda path, body, count: body.replace(b"\0" * 64, b"\1" * 64) if "beta" in path else body)
    status, output = killing.finish(build.plan(), build.home, TEST_INSTALLER=installer)
    assert 2 == status, output
    assert "error: " in output, output
    assert "beta" in output.rpartition("error: ")[2]
    build.same(older)


def test_an_installer_that_is_killed(shop, build, index, local, no_index):
    """The kernel's memory killer takes uv, and not envdoc: one sentence, and the old generation is in use."""
    older = build.older()
    served = index(seconds_a_block=0.5)
    child = killing.start(build.plan(), build.home, TEST_INSTALLER="uv")
    wait_for(lambda: served.requests)
    for pid in tools.holders(build.home / "envs"):
        if Path("/proc", pid, "cmdline").read_bytes().find(b"install") >= 0:
            os.kill(int(pid), signal.SIGKILL)
    output = child.communicate(timeout=60)[0].decode()
    assert 2 == child.returncode, output
    assert "signal 9" in output, output
    build.same(older)


def test_rollback_and_gc_during_a_build_are_refused(shop, build, index, local, no_index):
    """Both say which process is at work; the build is not disturbed."""
    build.older()
    served = index(seconds_a_block=0.3)
    child = killing.start(build.plan(), build.home, TEST_INSTALLER="pip")
    wait_for(lambda: served.requests)
    for word in ("rollback", "gc"):
        status, output = killing.command(build.home, word)
        assert (2, True) == (status, f"Another envdoc (process {child.pid}) is at work" in output), output
    assert 0 == child.wait(120)
    child.communicate()
    assert "tiny" == Generations(build.home).current().profile


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    """A library that takes hard links and flock away."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler, so that hard links and flock cannot be taken away")
    library = tmp_path_factory.mktemp("shim") / "no_links.so"
    source = Path(__file__).with_name("no_links.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def test_a_network_file_system_without_links_and_locks(shim, local, build):
    """uv copies, envdoc locks with a file of its own, a second run is refused, a lock that was left is cleared."""
    plan, older = build.plan(), build.older()
    shim = {**shim, "NO_LINKS_UNDER": str(build.home)}
    killed = killing.start(plan, build.home, stop=8, **shim)
    killed.communicate()
    assert (-9, True) == (killed.returncode, (build.home / "lock.held").exists())
    build_again = killing.start(plan, build.home, stop=0, **shim)
    wait_for(lambda: f'"{build_again.pid}"' in read(build.home / "lock.held"))
    build_again.send_signal(signal.SIGSTOP)
    status, output = killing.finish(plan, build.home, **shim)
    assert (2, True) == (status, f"process {build_again.pid} on" in output), output
    build_again.send_signal(signal.SIGCONT)
    output = build_again.communicate(timeout=120)[0].decode()
    assert 0 == build_again.returncode, output
    assert {"tiny", "older"} == {item.profile for item in Generations(build.home).list()}
    assert set() == killing.names(build.home) - killing.OWN
    assert older[0] == Generations(build.home).rollback().name


def built_with(home):
    """The installer that the receipt of the current generation names."""
    return json.loads((home / "current" / "envdoc-receipt.json").read_text())["installer"]


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_a_cache_on_a_file_system_without_locks(installer, shim, local, build, tmp_path_factory):
    """uv refuses to work there: it gets another cache, and where envdoc's own folder has no locks either, pip works."""
    everything = tmp_path_factory.getbasetemp()
    under = os.environ["UV_CACHE_DIR"] if installer == "uv" else str(everything)
    status, output = killing.finish(build.plan(), build.home, **shim, NO_LINKS_UNDER=under)
    assert (0, True) == (status, "uv's cache cannot be used" in output and "No locks" in output), output
    assert (installer, installer == "pip") == (built_with(build.home), "pip goes on instead." in output)


@pytest.mark.parametrize("stop", [1, 3, 5, 7])
def test_a_rollback_and_a_gc_that_are_killed(stop, local, build):
    """Killed at any change: one of the two generations is in use and works, and the next one finishes."""
    older = build.older()
    assert 0 == killing.finish(build.plan(), build.home)[0]
    tiny = Generations(build.home).current().name
    for method in ("rollback", "remove_unused"):
        code = KILLED.format(method=method, arguments="keep=1" if method == "remove_unused" else "")
        done = subprocess.run([sys.executable, "-c", code, str(build.home), str(stop)], check=False)
        assert done.returncode in (0, -9)
        now = Generations(build.home).current()
        assert now.name in (older[0], tiny)
        assert killing.imports(build.home / "current/bin/python", "beta")
        if method == "rollback" and now.name == tiny:
            assert 0 == envdoc(["rollback"])
    assert 0 == envdoc(["gc", "--keep", "1"])
    build.same(older)


KILLED = """
import os, signal, sys
from pathlib import Path
from envdoc.doctor.fix.generations import Generations
stop, seen = int(sys.argv[2]), []
def watch(event, arguments):
    if event in ("os.rename", "os.remove", "os.rmdir", "os.symlink", "shutil.rmtree") or (
        event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        seen.append(event)
        if len(seen) == stop:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
Generations(Path(sys.argv[1])).{method}({arguments})
"""


def wait_for(what, seconds=60):
    """Until it is true."""
    limit = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < limit, "it did not come to that"
        time.sleep(0.02)


def read(path):
    """A file's text; empty where it is not there."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
