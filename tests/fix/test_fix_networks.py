"""pip's configuration reaches pip, uv and envdoc's own downloader alike: real servers, a real proxy, a real CA."""

import shutil
import subprocess

import fix_tools as tools
import pytest

from envdoc.doctor.fix import rate
from envdoc.doctor.fix.delivery import clear, deliver, kept_bytes, open_index, wheels_folder
from envdoc.doctor.fix.download import download
from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.installer import install
from envdoc.doctor.fix.pins import Machine, read_pins
from envdoc.doctor.fix.pip_config import PipConfig
from envdoc.doctor.fix.pip_installer import PipInstaller
from envdoc.doctor.fix.progress import Progress
from envdoc.doctor.fix.uv_config import filled_by_uv
from envdoc.doctor.fix.uv_installer import find_uv

MACHINE = Machine(tools.MINOR)
ALL = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR", "PIP_PROXY")


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No certificate and no proxy of the machine that runs the tests."""
    for name in (*ALL, "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "20")
    monkeypatch.setattr("envdoc.doctor.fix.download.PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr("envdoc.doctor.fix.simple_index.PAUSES_SECONDS", (0.01,))


@pytest.fixture
def lock(shop):
    """alpha and beta, pinned."""
    return shop.profile().lock


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """A virtual environment with pip and nothing else, to be copied by its pip for each test's target."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    subprocess.run([tools.BASE, "-m", "venv", str(folder)], check=True)
    return folder


@pytest.fixture
def environment(bare):
    """The bare environment; what a test has installed in it is taken out again."""
    yield bare
    for name in ("alpha", "beta"):
        for path in bare.glob(f"lib/*/site-packages/{name}*"):
            shutil.rmtree(str(path))


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority of our own, and a certificate for 127.0.0.1 that it signed."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here to make a certificate authority with")
    place = tmp_path_factory.mktemp("ca")
    run = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test authority",
    ]
    extensions = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    own = [*run, *extensions, "-keyout", "ca.key", "-out", "ca.pem"]
    wanted = ["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-keyout", "s.key"]
    (place / "ext").write_text("subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
    signed = [
        "openssl",
        "x509",
        "-req",
        "-in",
        "s.csr",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
    ]
    for command in (
        own,
        [*wanted, "-out", "s.csr"],
        [*signed, "-out", "s.pem", "-days", "2", "-extfile", "ext"],
    ):
        subprocess.run(
            command, cwd=str(place), check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
    return place


def by_own(environment, lock, tmp_path):
    """envdoc's downloader with the configuration of that environment's pip."""
    index, web = open_index(environment / "bin" / "python")
    wanted = index.find(read_pins(lock.read_text(), MACHINE), MACHINE, {})
    download(wanted, tmp_path / "got", web, Progress())
    return {path.name.split("-")[0] for path in (tmp_path / "got").iterdir()}


def by_tool(name):
    """pip or uv alone, as they stream."""

    def run(environment, lock, tmp_path):
        tool = PipInstaller() if name == "pip" else find_uv()
        (tmp_path / "tmp").mkdir(exist_ok=True)
        tool.prepare(environment / "bin" / "python", tmp_path / "tmp", None)
        install(tool, environment, lock, tmp_path / "tmp", tmp_path / "log", 1, lambda line: None, attempts=1)
        return {path.name.split("-")[0] for path in environment.glob("lib/*/site-packages/*a-*.dist-info")}

    return run


WAYS = {"own": by_own, "pip": by_tool("pip"), "uv": by_tool("uv")}
BOTH = {"alpha", "beta"}


@pytest.mark.parametrize("way", WAYS)
def test_a_password_an_extra_index_and_a_folder(way, no_index, shop, lock, environment, tmp_path):
    """alpha from an index that wants a password, beta from an extra index that lacks alpha."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, name in ((first, "alpha"), (second, "beta")):
        folder.mkdir()
        shutil.copy(str(next(shop.wheels.glob(f"{name}-*"))), str(folder))
    closed, open_ = tools.Index(first, user="me:s3cret%", hashes=True), tools.Index(second)
    address = closed.url.replace("://", "://me:s3cret%25@")
    no_index.write_text(f"[global]\nindex-url = {address}\nextra-index-url = {open_.url}\n")
    assert WAYS[way](environment, lock, tmp_path) == BOTH
    assert (1, 1) == (len(closed.requests), len(open_.requests))


@pytest.mark.parametrize("way", WAYS)
def test_a_proxy_is_asked_for_everything(way, no_index, shop, lock, environment, tmp_path, monkeypatch):
    """The index has a name that only the proxy could reach; here it is the loopback, and the proxy logs it."""
    index, proxy = tools.Index(shop.wheels), tools.Proxy()
    no_index.write_text(f"[global]\nindex-url = {index.url}\nproxy = {proxy.url}\n")
    assert WAYS[way](environment, lock, tmp_path) == BOTH
    assert {f"GET {index.address}{path}" for path in index.paths} == set(proxy.lines)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("setting", ["cert", "trusted-host", "REQUESTS_CA_BUNDLE", ""])
def test_a_certificate_of_an_own_authority(
    way, setting, no_index, shop, lock, environment, tmp_path, authority, monkeypatch
):
    """Trusted where the configuration names the authority or the host, and refused otherwise."""
    index = tools.Index(shop.wheels, tls=(str(authority / "s.pem"), str(authority / "s.key")))
    lines = {"cert": f"cert = {authority / 'ca.pem'}", "trusted-host": "trusted-host = 127.0.0.1"}
    no_index.write_text(f"[global]\nindex-url = {index.url}\nretries = 0\n{lines.get(setting, '')}\n")
    if setting.isupper():
        monkeypatch.setenv(setting, str(authority / "ca.pem"))
    if setting:
        assert WAYS[way](environment, lock, tmp_path) == BOTH
    else:
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        with pytest.raises(Failure):
            WAYS[way](environment, lock, tmp_path)


def test_https_goes_through_the_proxy_by_connect(no_index, shop, lock, environment, tmp_path, authority):
    """A tunnel, so that the certificate is the index's own."""
    index, proxy = (
        tools.Index(shop.wheels, tls=(str(authority / "s.pem"), str(authority / "s.key"))),
        tools.Proxy(),
    )
    no_index.write_text(
        f"[global]\nindex-url = {index.url}\nproxy = {proxy.url}\ncert = {authority / 'ca.pem'}\n"
    )
    assert by_own(environment, lock, tmp_path) == BOTH
    assert {f"CONNECT {index.address[len('https://') :]}"} == set(proxy.lines)


def test_a_password_in_netrc(no_index, shop, lock, environment, tmp_path, monkeypatch):
    """As pip takes it; and without one the sentence says that the index asks for it, and tells no secret."""
    index = tools.Index(shop.wheels, user="me:secret")
    no_index.write_text(f"[global]\nindex-url = {index.url}\n")
    with pytest.raises(Failure, match=r"answers 401 .*, it asks for a password"):
        by_own(environment, lock, tmp_path)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert by_own(environment, lock, tmp_path) == BOTH


def test_a_wrong_password_is_not_printed(no_index, shop, lock, environment, tmp_path):
    """The address in the sentence is without it."""
    index = tools.Index(shop.wheels, user="me:secret")
    no_index.write_text(f"[global]\nindex-url = {index.url.replace('://', '://me:wrong@')}\n")
    with pytest.raises(Failure) as caught:
        by_own(environment, lock, tmp_path)
    assert "wrong@" not in caught.value.message


@pytest.mark.parametrize(
    "variables",
    [
        {"UV_DEFAULT_INDEX": "mine=https://a.example/simple"},
        {"UV_INDEX_URL": "https://a.example/simple"},
        {"UV_CONFIG_FILE": "index-url = 'https://a.example/simple'"},
        {"UV_CONFIG_FILE": "[pip]\nindex-url = 'https://a.example/simple'"},
        {"UV_CONFIG_FILE": "[[index]]\nurl = 'https://a.example/simple'\ndefault = true"},
    ],
)
def test_uvs_own_settings_fill_what_pip_leaves_open(variables, tmp_path):
    """Only that: an index of pip's stays."""
    if "UV_CONFIG_FILE" in variables:
        (tmp_path / "uv.toml").write_text(variables["UV_CONFIG_FILE"])
        variables = {"UV_CONFIG_FILE": str(tmp_path / "uv.toml")}
    assert "https://a.example/simple" == filled_by_uv(PipConfig(), variables).index_url
    assert "https://b.example" == filled_by_uv(PipConfig(index_url="https://b.example"), variables).index_url


def hand_over(name, environment, lock, tmp_path, told, download_bytes=200_000):
    """`deliver` as apply calls it."""
    tool = PipInstaller() if name == "pip" else find_uv()
    home = tmp_path / "home"
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    tool.prepare(environment / "bin" / "python", home / "tmp", None)
    deliver(
        tool, environment, lock, home / "tmp", home / "log", tool.total_bytes(download_bytes, download_bytes),
        told.append, home, MACHINE, None, download_bytes,
    )  # fmt: skip
    return {path.name.split("-")[0] for path in environment.glob("lib/*/site-packages/*a-*.dist-info")}


@pytest.mark.parametrize("name", ["pip", "uv"])
def test_a_broken_stream_is_taken_over_and_resumed(
    name, no_index, shop, lock, environment, tmp_path, monkeypatch
):
    """Closed in the middle of beta again and again: the rest is asked for, and installed from the folder."""
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    index = tools.Index(shop.wheels, ranges=True, cut=lambda file, count: 60_000 if count <= 3 else None)
    no_index.write_text(f"[global]\nindex-url = {index.url}\n")
    told = []
    assert hand_over(name, environment, lock, tmp_path, told) == BOTH
    assert 60_000 == index.asked[0][1]
    home = tmp_path / "home"
    assert kept_bytes(home) > 200_000
    assert clear(home) > 200_000
    assert not wheels_folder(home).exists()


def test_uv_streams_where_the_link_is_fast_and_not_where_it_was_slow(
    no_index, shop, lock, environment, tmp_path
):
    """Decided by the measured rate; what uv's cache holds is never fetched again."""
    index = tools.Index(shop.wheels, ranges=True)
    no_index.write_text(f"[global]\nindex-url = {index.url}\n")
    home = tmp_path / "home"
    home.mkdir()
    rate.remember(home, 1_000_000_000, 1000.0)  # 1 MB/s
    told = []
    assert hand_over("uv", environment, lock, tmp_path, told) == BOTH
    assert {"alpha-1.0-py3-none-any.whl", "beta-2.0-py3-none-any.whl"} == {
        path.name for path in wheels_folder(home).iterdir()
    }
    for name in ("alpha", "beta"):
        for path in environment.glob(f"lib/*/site-packages/{name}*"):
            shutil.rmtree(str(path))
    clear(home)
    rate.remember(home, 1_000_000_000, 10.0)
    assert hand_over("uv", environment, lock, tmp_path, told) == BOTH
    assert not wheels_folder(home).exists()


def test_a_slow_first_stream_is_noticed(no_index, shop, lock, environment, tmp_path, monkeypatch):
    """Nothing was measured: uv begins, is watched, and hands over; the rate is remembered."""
    monkeypatch.setattr("envdoc.doctor.fix.installer.WATCH_SECONDS", 1.0)
    tools.make_wheel(shop.wheels, "beta", "2.0", filler=bytes(range(256)) * 4000)
    digest = tools.hashlib.sha256((shop.wheels / "beta-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    lock = shop.profile(hashes={"beta": digest}).lock
    index = tools.Index(shop.wheels, ranges=True, seconds_a_block=0.1)  # 200 kB/s
    no_index.write_text(f"[global]\nindex-url = {index.url}\n")
    told = []
    assert hand_over("uv", environment, lock, tmp_path, told, download_bytes=3_000_000_000) == BOTH
    assert any(
        line.startswith("The link brings 0.") and "downloads the wheels itself" in line for line in told
    )
    assert 2 == index.requests.count("beta-2.0-py3-none-any.whl")


def test_a_mirror_that_promises_metadata_and_has_none(no_index, shop, lock, environment, tmp_path):
    """uv may stumble over the 404; envdoc's downloader needs none, so that the installation succeeds."""
    index = tools.Index(shop.wheels, metadata=True, hashes=True)
    no_index.write_text(f"[global]\nindex-url = {index.url}\n")
    assert hand_over("uv", environment, lock, tmp_path, []) == BOTH
