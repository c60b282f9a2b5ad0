"""What `--online` measures, against real servers on loopback; no test leaves this machine.

No answer is "skipped" and never a finding; an answer that is wrong is one.
"""

import os
import sys
import time
from dataclasses import asdict

import pytest
from network_server import WHEEL_BYTES, closed_port, self_signed, serving

from envdoc.doctor.facts import network as collector
from envdoc.doctor.facts import transfer
from envdoc.doctor.facts.network import hub_endpoint, network
from envdoc.doctor.facts.snapshot import Package, Snapshot, from_json
from envdoc.doctor.rules.registry import all_rules, judge, selected


def environment(index=None, hub=None, **variables):
    """The variables of a machine with that index and that hub, and nothing else about networks."""
    told = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PIP_CONFIG_FILE": os.devnull}
    told.update({"PIP_NO_INDEX": "1"} if index is None else {"PIP_INDEX_URL": index})
    if hub is not None:
        told["HF_ENDPOINT"] = hub
    return {**told, **variables}


def measure(purpose, *arguments, **variables):
    """What is told about one server."""
    return network(sys.executable, (), environment(*arguments, **variables)).server(purpose)


def findings(*arguments, **variables):
    """Code → severity of what the rules find in it."""
    snapshot = Snapshot(network=network(sys.executable, (), environment(*arguments, **variables)))
    checks = judge(snapshot, selected(all_rules(), ["NET"]))
    return {check.code: check.severity.value for check in checks if check.failed}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1."""
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def impatient(monkeypatch):
    """Each step waits two seconds, so that a server that hangs costs a test no more."""
    monkeypatch.setattr(transfer, "STEP_SECONDS", 2.0)


def test_a_good_line_is_measured_with_numbers():
    """Name, connection, latency, status and rate of index and hub; the newest wheel by range; redirects followed."""
    with serving() as server:
        told = network(sys.executable, (), environment(f"{server.url}/simple", server.url))
    index, hub, git = told.servers
    assert ("answered", 206, WHEEL_BYTES, "PIP_INDEX_URL") == (
        index.status,
        index.http_status,
        index.measured_bytes,
        index.source,
    )
    assert ("answered", 200, WHEEL_BYTES, "HF_ENDPOINT") == (
        hub.status,
        hub.http_status,
        hub.measured_bytes,
        hub.source,
    )
    assert ("answered", None, None) == (git.status, git.http_status, git.bytes_per_second)
    for one in (index, hub):
        assert 0 < one.resolve_seconds < 2 and 0 < one.connect_seconds < 2 and 0 < one.latency_seconds < 2
        assert 1e6 < one.bytes_per_second < 1e11
        assert one.tls_seconds is None  # plain http
    (wheel,) = (headers for path, headers in server.seen if path.startswith("/files/"))
    assert "bytes=0-4999999" == wheel["Range"]
    snapshot = Snapshot(network=told)
    assert snapshot == from_json(snapshot.to_json())


def test_a_slow_index_is_a_finding_with_its_rate():
    """300 kB/s are told as about that, after 4 s of it and not the ten that the wheel would take."""
    with serving(bytes_per_second=300_000) as server:
        started = time.monotonic()
        told = network(sys.executable, (), environment(f"{server.url}/simple"))
        seconds = time.monotonic() - started
    (found,) = (check for check in judge(Snapshot(network=told)) if check.code == "NET002")
    assert 200_000 < told.server("index").bytes_per_second < 330_000
    assert told.server("index").measured_bytes < WHEEL_BYTES and seconds < 14
    assert (True, "warning") == (found.failed, found.severity.value)
    assert "kB/s, so an environment takes" in found.title and "hours" in found.title


@pytest.mark.parametrize("status", [403, 404, 500])
def test_an_index_that_refuses_is_named_with_its_status(status):
    """An address that answers and serves nothing is no index; the hub that answers shows that the line is well."""
    with serving(status) as index, serving() as hub:
        told = measure("index", f"{index.url}/simple", hub.url)
        found = findings(f"{index.url}/simple", hub.url)
    assert ("failed", "http", status) == (told.status, told.stage, told.http_status)
    assert f"it answers with HTTP status {status}" == told.error
    assert {"NET001": "warning"} == found


def test_a_hub_without_the_file_answers_all_the_same():
    """A mirror that lacks the file is reached; only its rate is not known."""
    with serving(404) as hub:
        told = measure("hub", None, hub.url)
    assert ("answered", 404, None) == (told.status, told.http_status, told.bytes_per_second)


def test_an_index_that_wants_a_log_in_answers():
    """pip may find the password in a keyring; one that stands in the address and is refused is a fault."""
    with serving(401) as index, serving() as hub:
        bare, named = f"{index.url}/simple", index.url.replace("://", "://somebody:old@") + "/simple"
        assert ("answered", 401) == (measure("index", bare).status, measure("index", bare).http_status)
        assert {} == findings(bare, hub.url)
        assert {"NET001": "warning"} == findings(named, hub.url)


def test_a_server_that_hangs_is_skipped_in_a_limited_time(impatient):
    """It accepts the connection and says nothing: no answer is no finding, and the rule says why and what else."""
    with serving("hang") as index, serving() as hub:
        started = time.monotonic()
        told = network(sys.executable, (), environment(f"{index.url}/simple", hub.url))
        seconds = time.monotonic() - started
    index = told.server("index")
    assert ("skipped", "timeout") == (index.status, index.stage)
    (check,) = (check for check in judge(Snapshot(network=told)) if check.code == "NET001")
    assert "skipped" == check.status.value
    assert "no answer from the package index: no answer within" in check.detail
    assert "PIP_INDEX_URL" in check.detail
    assert seconds < 14  # two steps, and pip, which is asked for its configuration


def test_a_step_that_never_returns_is_left_alone(monkeypatch):
    """A resolver that hangs cannot be stopped; the others' answers stand."""
    monkeypatch.setattr(collector, "LIMIT_SECONDS", 4.0)
    monkeypatch.setattr(collector, "ask_index", lambda *_: time.sleep(9))
    with serving() as hub:
        told = network(sys.executable, (), environment(None, hub.url))
    assert ("skipped", "timeout") == (told.server("index").status, told.server("index").stage)
    assert "answered" == told.server("hub").status


def test_a_certificate_of_its_own_is_refused_until_it_is_named(certificate):
    """Each program by its own variable: pip, the hub library, git."""
    with serving(certificate=certificate) as server:
        addresses = (f"{server.url}/simple", server.url)
        bare = network(sys.executable, (), environment(*addresses))
        assert ["certificate"] * 3 == [one.stage for one in bare.servers]
        assert "is refused: self" in bare.server("index").error
        assert {"NET003": "warning"} == findings(*addresses)
        named = {
            "PIP_CERT": str(certificate),
            "REQUESTS_CA_BUNDLE": str(certificate),
            "GIT_SSL_CAINFO": str(certificate),
        }
        trusted = network(sys.executable, (), environment(*addresses, **named))
        assert ["answered"] * 3 == [one.status for one in trusted.servers]
        assert all(0 < one.tls_seconds < 5 for one in trusted.servers)
        assert {} == findings(*addresses, **named)
        only_pip = network(sys.executable, (), environment(*addresses, PIP_CERT=str(certificate)))
        assert ["", "certificate", "certificate"] == [one.stage for one in only_pip.servers]
        assert "answered" == measure("index", *addresses, PIP_TRUSTED_HOST="127.0.0.1").status


def test_a_bundle_that_is_not_there_is_the_fault(certificate, tmp_path):
    """As in requests, a variable that names no file fails every download."""
    with serving(certificate=certificate) as server:
        told = measure("hub", None, server.url, REQUESTS_CA_BUNDLE=str(tmp_path / "gone.pem"))
    assert "certificate" == told.stage
    assert "gone.pem cannot be read" in told.error


def test_a_server_without_tls_behind_an_https_address():
    """The handshake fails, and it is no matter of certificates."""
    with serving() as server:
        told = measure("hub", None, server.url.replace("http:", "https:"))
    assert ("failed", "tls") == (told.status, told.stage)


def test_no_network_is_no_finding():
    """Nothing listens and no name is known: all is skipped, with its reason, and nothing has failed."""
    address = f"http://127.0.0.1:{closed_port()}"
    told = network(sys.executable, (), environment(f"http://{'a' * 64}.example/simple", address))
    assert ["name", "connection", "connection"] == [one.stage for one in told.servers]
    assert {"skipped"} == {one.status for one in told.servers}
    checks = judge(Snapshot(network=told), selected(all_rules(), ["NET"]))
    assert {"skipped"} == {check.status.value for check in checks}
    assert all(check.detail for check in checks)


def test_one_server_without_an_answer_is_no_finding_either():
    """The others answer, so that there is a network: the one that does not may be closed on purpose."""
    with serving() as hub:
        assert {} == findings(f"http://127.0.0.1:{closed_port()}/simple", hub.url)
    with serving() as index:
        assert {} == findings(f"{index.url}/simple", f"http://127.0.0.1:{closed_port()}")


def test_what_is_not_configured_is_skipped_with_its_reason(tmp_path):
    """No index, an index in a folder, no hub."""
    assert "pip is configured to use no index (no-index)" == measure("index").error
    assert "the index is a folder, which needs no network" == measure("index", f"file://{tmp_path}").error
    assert "HF_ENDPOINT is not set and huggingface_hub is not installed" == measure("hub").error
    assert {"skipped"} == {one.status for one in network(sys.executable, (), environment()).servers}
    assert {} == findings()


def test_git_that_is_missing_is_a_note(tmp_path):
    """Nothing else needs it."""
    with serving() as hub:
        assert {"NET006": "info"} == findings(None, hub.url, PATH=str(tmp_path))


def test_the_proxy_is_used_and_told(certificate):
    """Through CONNECT for https and by the whole address for http; no_proxy makes an exception."""
    with serving() as proxy, serving(certificate=certificate) as server, serving() as plain:
        way = proxy.url.replace("://", "://somebody:s3cret@")
        variables = {"https_proxy": way, "http_proxy": way, "REQUESTS_CA_BUNDLE": str(certificate)}
        told = measure("hub", None, server.url, **variables)
        assert ("answered", WHEEL_BYTES) == (told.status, told.measured_bytes)
        assert proxy.url.split("//")[1] in told.proxy and "s3cret" not in told.proxy
        path, headers = proxy.seen[0]
        assert f"127.0.0.1:{server.server_port}" == path
        assert "Basic c29tZWJvZHk6czNjcmV0" == headers["Proxy-Authorization"]
        assert "answered" == measure("hub", None, plain.url, **variables).status
        assert any(path.startswith(f"{plain.url}/") for path, _ in proxy.seen)
        count = len(proxy.seen)
        assert "" == measure("hub", None, server.url, no_proxy="127.0.0.1", **variables).proxy
        assert count == len(proxy.seen)


def test_a_proxy_that_does_not_answer_is_one_finding(certificate):
    """Index, hub and git all fail by it, and it alone is named."""
    with serving(certificate=certificate) as server, serving(407) as strict:
        addresses = (f"{server.url}/simple", server.url)
        dead = f"http://127.0.0.1:{closed_port()}"
        assert {"NET007": "warning"} == findings(*addresses, HTTPS_PROXY=dead)
        assert {"NET007": "warning"} == findings(*addresses, HTTPS_PROXY=strict.url)
        assert "407" in measure("hub", *addresses, HTTPS_PROXY=strict.url).error
        socks = measure("hub", *addresses, ALL_PROXY="socks5://127.0.0.1:1080")
        assert ("skipped", "a proxy of the kind socks5 cannot be measured") == (socks.status, socks.error)


def test_passwords_reach_the_server_and_nothing_else():
    """The address of a private index holds a password, which pip sends; the snapshot does not keep it."""
    with serving() as server:
        address = server.url.replace("://", "://somebody:s3cret@") + "/simple"
        told = network(sys.executable, (), environment(address))
    assert "answered" == told.server("index").status
    assert "Basic c29tZWJvZHk6czNjcmV0" == server.seen[0][1]["Authorization"]
    assert "s3cret" not in str(asdict(told))


def test_the_hub_is_the_one_of_its_own_library(tmp_path):
    """The constant is read as text from the target's huggingface_hub; HF_ENDPOINT replaces it."""
    (tmp_path / "huggingface_hub").mkdir()
    (tmp_path / "huggingface_hub" / "constants.py").write_text(
        'raise SystemExit\n_HF_DEFAULT_ENDPOINT = "https://hub.example"\n'
    )
    packages = (Package("huggingface-hub", "2.4.0", str(tmp_path)),)
    assert ("https://hub.example", "huggingface_hub 2.4.0") == hub_endpoint(packages, {})
    mirror = {"HF_ENDPOINT": "https://mirror.example"}
    assert ("https://mirror.example", "HF_ENDPOINT") == hub_endpoint(packages, mirror)
    assert ("", "") == hub_endpoint((), {})


def test_the_real_hub_library_tells_its_server(patient):
    """The constant is where it is looked for, in the version that is trained with."""
    from envdoc.doctor.facts.collect import collect
    from envdoc.doctor.finding import Target

    url, source = hub_endpoint(collect(Target(str(patient), "test"), quick=True).packages, {})
    assert url.startswith("https://") and source.startswith("huggingface_hub ")


def test_pip_itself_tells_its_default_index():
    """Nothing of the kind is written in envdoc."""
    from pathlib import Path

    from envdoc.doctor.facts.pip_settings import pip_defaults

    url, certificates = pip_defaults(Path(sys.executable))
    assert url.startswith("https://") and url.endswith("/simple")
    assert "BEGIN CERTIFICATE" in Path(certificates).read_text(encoding="utf-8")
