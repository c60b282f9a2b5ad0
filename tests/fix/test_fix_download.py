"""envdoc's own downloader against an index of real wheels on the loopback that is cut, slow, wrong or rude."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import fix_tools as tools
import pytest

from envdoc.doctor.facts.pip_settings import PipSettings
from envdoc.doctor.fix import download as downloading
from envdoc.doctor.fix.download import download
from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.pins import Machine, read_pins
from envdoc.doctor.fix.progress import Progress
from envdoc.doctor.fix.pylock import KnownFile
from envdoc.doctor.fix.simple_index import SimpleIndex
from envdoc.doctor.fix.web import Web

MACHINE = Machine("3.11")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """No test waits for the pauses of a real network."""
    monkeypatch.setattr(downloading, "PAUSES_SECONDS", (0.01, 0.01))
    monkeypatch.setattr("envdoc.doctor.fix.simple_index.PAUSES_SECONDS", (0.01,))


@pytest.fixture
def serve(real_wheels):
    """Starts an index over the real wheels."""
    started = []

    def start(wheels=real_wheels, **options):
        made = tools.Index(wheels, **{"ranges": True, "hashes": True, **options})
        started.append(made)
        return made

    yield start
    for made in started:
        made.server.shutdown()
        made.server.server_close()


class Lock:
    """The real wheels as pins, with their sizes."""

    def __init__(self, folder):
        self.files = {path.name: path for path in sorted(folder.glob("*.whl"))}
        lines = []
        self.known = {}
        for path in self.files.values():
            name, version = path.name.split("-")[:2]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            lines.append(f"{name.replace('_', '-').lower()}=={version} --hash=sha256:{digest}")
            self.known[digest] = KnownFile(path.name, path.stat().st_size)
        self.pins = read_pins("\n".join(lines), MACHINE)

    def pygments(self):
        """Only the largest wheel's pin, and its file name."""
        return [pin for pin in self.pins if pin.name == "pygments"], next(
            f for f in self.files if "ygments" in f
        )


@pytest.fixture
def lock(real_wheels):
    """The lock over the real wheels."""
    return Lock(real_wheels)


def fetch(index, pins, folder, known=None, told=None, **settings):
    """What `envdoc fetch` does with an index."""
    web = Web(PipSettings(**{"index_url": index.url, "timeout_seconds": "2", **settings}), environ={})
    wanted = SimpleIndex(web, "").find(pins, MACHINE, known or {}, waiting=lambda seconds: None)
    progress = Progress(told.append if told is not None else None)
    return download(wanted, folder, web, progress)


def same(folder, files):
    """Whether the folder holds exactly these files, byte for byte."""
    return {path.name: path.read_bytes() for path in folder.iterdir()} == {
        name: path.read_bytes() for name, path in files.items()
    }


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"json": True},
        {"hashes": False},
        {"hashes": False, "json": True},
        {"metadata": True},
        {"relative": True},
        {"ranges": False},
    ],
    ids=str,
)
@pytest.mark.parametrize("sizes", [True, False])
def test_every_kind_of_index_page_leads_to_the_same_wheels(options, sizes, serve, lock, tmp_path):
    """HTML, JSON, no hashes, promised metadata that is not there, relative addresses; and no metadata is asked for."""
    index = serve(**options)
    fetch(index, lock.pins, tmp_path / "w", lock.known if sizes else None)
    assert same(tmp_path / "w", lock.files)
    assert [] == [path for path in index.paths if path.endswith(".metadata")]
    fetch(index, lock.pins, tmp_path / "w", lock.known if sizes else None)
    assert len(lock.files) == len(index.requests)


def test_redirects_and_find_links_are_followed(serve, lock, tmp_path):
    """A page of links, a folder, and a file that is moved to another host."""
    real = serve()
    moved = serve(answer=lambda file, count: (302, {"Location": f"{real.address}/files/{file}"}, b""))
    fetch(moved, lock.pins, tmp_path / "w")
    assert same(tmp_path / "w", lock.files)
    fetch(
        real,
        lock.pins,
        tmp_path / "v",
        no_index=True,
        find_links=(str(next(iter(lock.files.values())).parent),),
    )
    assert same(tmp_path / "v", lock.files)
    fetch(
        real, lock.pins[:1], tmp_path / "u", no_index=True, find_links=(f"{real.url}/{lock.pins[0].name}/",)
    )
    assert 1 == len(list((tmp_path / "u").iterdir()))


def test_a_cut_connection_is_continued_at_the_same_byte(serve, lock, tmp_path):
    """Twice closed in the middle: the next requests ask for the rest only."""
    pins, file = lock.pygments()
    index = serve(cut=lambda name, count: 100_000 if count <= 2 else None)
    fetch(index, pins, tmp_path / "w", lock.known)
    assert same(tmp_path / "w", {file: lock.files[file]})
    assert [(file, 100_000), (file, 200_000)] == index.asked


def test_a_server_without_ranges_starts_again(serve, lock, tmp_path):
    """The whole comes again, and nothing is doubled."""
    pins, file = lock.pygments()
    index = serve(ranges=False, cut=lambda name, count: 100_000 if count == 1 else None)
    fetch(index, pins, tmp_path / "w", lock.known)
    assert same(tmp_path / "w", {file: lock.files[file]})


def test_a_link_that_stays_cut_says_how_much_is_here_and_keeps_it(serve, lock, tmp_path):
    """No answer any more: the sentence says incomplete; the next run needs only the rest."""
    pins, file = lock.pygments()
    gone = serve(
        cut=lambda name, count: 300_000, answer=lambda name, count: (500, {}, b"") if count > 1 else None
    )
    with pytest.raises(Failure) as caught:
        fetch(gone, pins, tmp_path / "w", lock.known)
    size = lock.files[file].stat().st_size
    assert f"{file} is incomplete: 0.3 of {size / 1e6:.1f} MB are here." in caught.value.message
    assert ("network", True) == (
        caught.value.kind,
        caught.value.hint.startswith("Run it again: what has arrived"),
    )
    back = serve()
    done = fetch(back, pins, tmp_path / "w", lock.known)
    assert [(file, 300_000)] == back.asked
    assert size - 300_000 == done.fetched_bytes
    assert same(tmp_path / "w", {file: lock.files[file]})


@pytest.mark.parametrize("sizes", [True, False])
def test_a_truncated_wheel_is_called_incomplete_and_not_tampered(sizes, serve, lock, tmp_path):
    """The mirror's own copy is short. With a size that is known the numbers are told; without, the zip has no end."""
    pins, file = lock.pygments()
    index = serve(spoil=lambda name, body, count: body[:400_000])
    with pytest.raises(Failure) as caught:
        fetch(index, pins, tmp_path / "w", lock.known if sizes else None)
    whole = f" of {lock.files[file].stat().st_size:,}" if sizes else ""
    assert "incomplete" == caught.value.kind
    assert f"400,000{whole} bytes, and no more follow. It was cut short there" in caught.value.message
    assert [f"{file}.part"] == [path.name for path in (tmp_path / "w").iterdir()]


@pytest.mark.parametrize("more", [b"", b"x" * 1000])
def test_a_tampered_wheel_is_refused_with_both_hashes(more, serve, lock, tmp_path):
    """The right size or a larger one, and other bytes: refused, removed, and the same after a second look."""
    pins, file = lock.pygments()
    index = serve(hashes=False, spoil=lambda name, body, count: body[:5000] + b"evil" + body[5004:] + more)
    with pytest.raises(Failure) as caught:
        fetch(index, pins, tmp_path / "w", lock.known)
    assert "hash" == caught.value.kind
    body = lock.files[file].read_bytes()
    assert f"expected sha256 {hashlib.sha256(body).hexdigest()}, got" in caught.value.message
    assert more or hashlib.sha256(body[:5000] + b"evil" + body[5004:]).hexdigest() in caught.value.message
    assert (2, []) == (index.requests.count(file), list((tmp_path / "w").iterdir()))


def test_bytes_that_turned_on_the_way_are_fetched_once_more(serve, lock, tmp_path):
    """A hash that is wrong once is no tampering."""
    pins, file = lock.pygments()
    told = []
    index = serve(spoil=lambda name, body, count: body[:-9] + b"x" * 9 if count == 1 else body)
    fetch(index, pins, tmp_path / "w", lock.known, told)
    assert same(tmp_path / "w", {file: lock.files[file]})
    assert [f"{file} arrived with a wrong hash; fetching it from the start."] == told


def test_a_part_of_another_file_is_thrown_away(serve, lock, tmp_path):
    """What a reboot left may be zeros: continued, found wrong, fetched from the start."""
    pins, file = lock.pygments()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / f"{file}.part").write_bytes(bytes(50_000))
    fetch(serve(), pins, tmp_path / "w", lock.known)
    assert same(tmp_path / "w", {file: lock.files[file]})


def test_retry_after_is_obeyed(serve, lock, tmp_path):
    """503 and 429 with a time: it waits that long, once each, and goes on."""
    pins, file = lock.pygments()
    statuses = {1: 503, 2: 429}
    index = serve(
        answer=lambda name, count: (statuses[count], {"Retry-After": "1"}, b"") if count in statuses else None
    )
    started = time.monotonic()
    fetch(index, pins, tmp_path / "w", lock.known)
    assert time.monotonic() - started >= 2
    assert 3 == index.requests.count(file)


def test_a_stall_is_cut_and_continued(serve, lock, tmp_path):
    """No byte for longer than pip's time limit: a new request for the rest."""
    pins, _ = lock.pygments()
    slow = serve(seconds_a_block=1.0, answer=lambda name, count: (500, {}, b"") if count > 2 else None)
    with pytest.raises(Failure, match="The download broke off"):
        fetch(slow, pins, tmp_path / "w", lock.known, timeout_seconds="0.5")
    assert 20_000 == slow.asked[0][1]


def test_a_login_page_instead_of_a_wheel_is_named(serve, lock, tmp_path):
    """A captive portal: no wrong hash, and what was here stays."""
    pins, file = lock.pygments()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / f"{file}.part").write_bytes(lock.files[file].read_bytes()[:50_000])
    portal = serve(
        answer=lambda name, count: (200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><title>Wifi</title>")
    )
    with pytest.raises(Failure, match=f"Instead of {file} a web page came from 127.0.0.1"):
        fetch(portal, pins, tmp_path / "w", lock.known)
    assert 50_000 == (tmp_path / "w" / f"{file}.part").stat().st_size


def test_another_index_that_has_it_whole_is_asked_next(serve, lock, tmp_path):
    """A truncated mirror and an extra index with the rest: both together are the file."""
    pins, file = lock.pygments()
    mirror, origin = serve(spoil=lambda name, body, count: body[:400_000], hashes=False), serve(hashes=False)
    fetch(mirror, pins, tmp_path / "w", lock.known, extra_index_urls=(origin.url,))
    assert same(tmp_path / "w", {file: lock.files[file]})
    assert [(file, 400_000)] == origin.asked


def test_what_an_index_lacks_is_named_and_why(serve, lock, tmp_path, real_wheels):
    """Not listed, another file under the same version, no wheel for this Python: three sentences."""
    pins, file = lock.pygments()
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(Failure, match=r"lacks a pinned file: pygments==.* \(it is not listed\)"):
        fetch(serve(empty), pins, tmp_path / "w")
    shutil.copy(str(lock.files[file]), str(empty))
    with (empty / file).open("ab") as grown:
        grown.write(b"more")
    with pytest.raises(Failure, match="only files with other hashes, or for another Python, are listed"):
        fetch(serve(empty), pins, tmp_path / "w")


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_fix_download import Lock, fetch
class Index: url = sys.argv[3]
lock = Lock(Path(sys.argv[2]))
fetch(Index, lock.pygments()[0], Path(sys.argv[4]), lock.known)
"""


def test_kill_9_keeps_the_part_and_the_next_run_resumes(serve, lock, tmp_path, real_wheels):
    """A real process, killed with half a wheel; afterwards only the rest is asked for."""
    pins, file = lock.pygments()
    index = serve(seconds_a_block=0.05)
    arguments = [str(Path(__file__).parent), str(real_wheels), index.url, str(tmp_path / "w")]
    child = subprocess.Popen([sys.executable, "-c", CHILD, *arguments])
    part = tmp_path / "w" / f"{file}.part"
    for _ in range(600):
        if part.exists() and part.stat().st_size >= 100_000:
            break
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    here = part.stat().st_size
    assert 100_000 <= here < lock.files[file].stat().st_size
    back = serve()
    fetch(back, pins, tmp_path / "w", lock.known)
    assert [(file, here)] == back.asked
    assert same(tmp_path / "w", {file: lock.files[file]})


def test_a_full_disk_is_one_sentence(serve, lock, tmp_path):
    """The part leads to a device that is always full."""
    pins, file = lock.pygments()
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / f"{file}.part").symlink_to("/dev/full")
    with pytest.raises(Failure, match="The disk is full"):
        fetch(serve(), pins, tmp_path / "w", lock.known)


def test_progress_says_bytes_rate_and_rest_and_nothing_when_quiet(monkeypatch):
    """A line every few seconds where there is no terminal."""
    monkeypatch.setattr("envdoc.doctor.fix.progress._LINE_EVERY_SECONDS", 0.0)
    told = []
    progress = Progress(told.append)
    progress.start(530_000_000)
    progress._started -= 10
    progress.add(100_000_000)
    assert "100 of 530 MB downloaded, 10.00 MB/s, about 43 s left" == told[0]
    silent = Progress(None)
    silent.start(10)
    silent.add(10)
    assert 10 == silent.here_bytes
