"""What `--online` asks beside the rates: token, model, mirror, extra index, clock, addresses. Servers on loopback."""

import json
import os
import socket
import sys
import time
from dataclasses import asdict

import pytest
from network_server import closed_port, serving

from envdoc.doctor.facts import questions, transfer
from envdoc.doctor.facts.model_files import wanted_model
from envdoc.doctor.facts.network import measure
from envdoc.doctor.facts.snapshot import Snapshot
from envdoc.doctor.facts.transfer import Client, Trust
from envdoc.doctor.rules.registry import all_rules, judge, selected

TOKEN = "hf_" + "t" * 34
LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "intermediate_size": 11008,
    "vocab_size": 32000,
}
FILES = {
    "config.json": 614,
    "model-00001-of-00002.safetensors": 9_976_576_152,
    "model-00002-of-00002.safetensors": 3_500_296_424,
    "pytorch_model-00001-of-00002.bin": 9_976_620_122,
    "pytorch_model-00002-of-00002.bin": 3_500_310_787,
    "tokenizer.model": 499_723,
    "original/consolidated.00.pth": 13_476_925_163,
}


def environment(hub, **variables):
    """The variables of a machine with that hub and no index."""
    told = {
        "PATH": os.environ["PATH"],
        "HOME": "/nowhere",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
    }
    return {**told, "HF_ENDPOINT": hub, **variables}


def asked(environ, model=None):
    """The snapshot, and code → (status, severity) of each rule about the network."""
    wanted = None if model is None else wanted_model(model, environ)
    network, found = measure(sys.executable, (), environ, wanted)
    told = {name: "<set>" for name in ("HF_TOKEN",) if name in environ}
    snapshot = Snapshot(network=network, model=found, variables=told)
    checks = judge(snapshot, selected(all_rules(), ["NET"]))
    return snapshot, {check.code: check for check in checks}


def client(**settings):
    """A client that trusts nobody in particular, with ten seconds."""
    return Client({}, Trust(), time.monotonic() + 10, **settings)


@pytest.fixture
def hub():
    """A hub with one public and one gated model, and one account."""
    with serving() as server:
        server.token = TOKEN
        server.models["org/open-7b"] = {"files": FILES, "config": LLAMA}
        server.models["org/closed"] = {"files": FILES, "config": LLAMA, "gated": "manual"}
        yield server


def test_a_token_is_accepted_or_refused_and_never_told(hub):
    """By `whoami`; the token is in no part of what is kept or said."""
    snapshot, checks = asked(environment(hub.url, HF_TOKEN=TOKEN))
    assert "ok" == checks["NET011"].status.value
    assert "accepts the token (answer after" in checks["NET011"].title
    wrong, found = asked(environment(hub.url, HF_TOKEN=TOKEN + "x"))
    assert ("fail", "warning") == (found["NET011"].status.value, found["NET011"].severity.value)
    assert "unset HF_TOKEN" in found["NET011"].fix.commands
    for told in (snapshot, wrong):
        assert TOKEN not in json.dumps(asdict(told))
    assert any(headers.get("Authorization") == f"Bearer {TOKEN}" for _, headers in hub.seen)


def test_without_a_token_none_is_asked_about(hub):
    """Nothing is sent, and the rule is skipped."""
    _, checks = asked(environment(hub.url))
    assert ("skipped", "HF_TOKEN is not set") == (checks["NET011"].status.value, checks["NET011"].detail)
    assert not any("whoami" in path for path, _ in hub.seen)


def test_a_token_goes_to_no_other_host_and_over_no_open_line():
    """A redirect to another server loses it; plain http beyond this machine never sees it."""
    with serving() as other, serving() as first:
        address = other.url

        class Moved(first.RequestHandlerClass):
            """Sends everybody on to the other server."""

            def do_GET(self):
                """One redirect."""
                self.server.seen.append((self.path, dict(self.headers)))
                return self._send(302, b"", Location=f"{address}/api/models/openai-community/gpt2")

        first.RequestHandlerClass = Moved
        assert 200 == client().get(f"{first.url}/api/whoami-v2", 10, 5, token=TOKEN).status
        assert f"Bearer {TOKEN}" == first.seen[0][1]["Authorization"]
        assert "Authorization" not in other.seen[0][1]
    told = questions.token(client(), "http://hub.example", TOKEN)
    assert ("skipped", questions.NO_TOKEN_SENT) == (told.status, told.error)


def test_the_hub_tells_the_size_of_the_model_and_its_layers(hub):
    """One format of the weights is downloaded; a clone takes all of them."""
    snapshot, checks = asked(environment(hub.url), "org/open-7b")
    model = snapshot.model
    assert ("hub", "llama", 6_738_415_616) == (model.source, model.model_type, model.parameters)
    assert FILES["model-00001-of-00002.safetensors"] == model.largest_file_bytes
    assert 13_476_872_576 == model.weight_bytes
    assert 13_476_872_576 + 614 + 499_723 == model.download_bytes
    assert sum(FILES.values()) == model.repository_bytes
    assert ("ok", False) == (checks["NET012"].status.value, model.is_pickled)
    assert "open-7b of 13.5 GB takes" in checks["NET005"].title


def test_a_gated_model_is_named_as_that(hub):
    """401 without a token and 403 with one that was not let in; the right token reads it."""
    snapshot, checks = asked(environment(hub.url), "org/closed")
    assert "The model org/closed is gated" == checks["NET012"].title
    assert (
        "no token is set here" in checks["NET012"].detail and "hf auth login" in checks["NET012"].fix.commands
    )
    assert 13_476_872_576 == snapshot.model.weight_bytes  # its size is told all the same
    _, checks = asked(environment(hub.url, HF_TOKEN="hf_" + "z" * 34), "org/closed")
    assert ("The model org/closed is gated", "error") == (
        checks["NET012"].title,
        checks["NET012"].severity.value,
    )
    assert "no token" not in checks["NET012"].detail
    _, checks = asked(environment(hub.url, HF_TOKEN=TOKEN), "org/closed")
    assert "ok" == checks["NET012"].status.value


def test_a_model_that_is_not_there_is_named(hub):
    """The hub's own 404, and its size is then that of its name."""
    snapshot, checks = asked(environment(hub.url), "org/opne-7b")
    assert "The model org/opne-7b is not there" == checks["NET012"].title
    assert ("name", 14 * 10**9) == (snapshot.model.source, snapshot.model.download_bytes)


def test_a_mirror_without_the_list_of_files(hub):
    """A web server with copies of files; a hub that lacks only this model says so in its own word, and is well."""
    assert "ok" == asked(environment(hub.url))[1]["NET013"].status.value
    hub.models.clear()
    assert "ok" == asked(environment(hub.url))[1]["NET013"].status.value
    with serving(404) as plain:
        found = asked(environment(plain.url))[1]["NET013"]
    assert ("fail", "info") == (found.status.value, found.severity.value)


@pytest.mark.parametrize(
    ("behaviour", "status"), [("well", "ok"), (403, "ok"), (500, "fail"), ("hang up", "skipped")]
)
def test_an_extra_index_is_asked_where_pip_is_told_of_one(hub, behaviour, status):
    """A project that it lacks is no fault of it; an error is one; no answer is skipped."""
    with serving(behaviour) as extra:
        variables = {
            "PIP_EXTRA_INDEX_URL": extra.url,
            "PIP_NO_INDEX": "0",
            "PIP_INDEX_URL": f"{hub.url}/simple",
        }
        _, checks = asked(environment(hub.url, **variables))
    assert status == checks["NET015"].status.value
    assert "ok" == checks["NET002"].status.value


@pytest.mark.parametrize(("ahead", "status"), [(0, "ok"), (200, "ok"), (1000, "fail"), (-90_000, "fail")])
def test_the_clock_is_compared_with_the_servers(hub, ahead, status):
    """By the Date header."""
    hub.skew_seconds = ahead
    snapshot, checks = asked(environment(hub.url))
    assert status == checks["NET010"].status.value
    assert abs(snapshot.network.server("hub").skew_seconds - ahead) <= 2


def test_an_address_that_leads_nowhere_is_told_by_the_time_it_costs(hub, monkeypatch):
    """As IPv6 without a route: the system gives it first, and the next one answers."""
    monkeypatch.setattr(transfer, "FALLBACK_SECONDS", 1.0)
    real = socket.getaddrinfo
    with socket.socket() as deaf, socket.socket() as waiting:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting.setblocking(False)
        waiting.connect_ex(
            deaf.getsockname()
        )  # its queue of one is full: a further connection is not answered
        with socket.socket() as second:
            second.setblocking(False)
            second.connect_ex(deaf.getsockname())
            dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", deaf.getsockname())
            monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: [dead, *real(*a, **k)])
            snapshot, checks = asked(environment(hub.url))
    assert "answered" == snapshot.network.server("hub").status
    assert 0.9 < snapshot.network.server("hub").fallback_seconds < 3
    assert "an IPv4 address that does not answer" in checks["NET014"].detail


@pytest.mark.parametrize(
    ("behaviour", "status", "stage"),
    [("hang up", "skipped", "closed"), ("garbage", "failed", "http"), (500, "failed", "http")],
)
def test_no_answer_and_a_wrong_answer_are_told_apart(behaviour, status, stage):
    """A connection that is closed says nothing; a server that is no web server, or fails, says something wrong."""
    with serving(behaviour) as server:
        snapshot, checks = asked(environment(server.url))
    told = snapshot.network.server("hub")
    assert (status, stage) == (told.status, told.stage)
    assert {"skipped": "skipped", "failed": "fail"}[status] == checks["NET004"].status.value


def test_a_proxy_that_reaches_nobody_is_no_fault_of_the_proxy(hub):
    """502 to CONNECT: the server gave no answer. 407 and a closed port are the configuration's fault."""
    with serving(502) as proxy, serving(407) as strict:
        for address, status, code in (
            (proxy.url, "skipped", "NET004"),
            (strict.url, "fail", "NET007"),
            (f"http://127.0.0.1:{closed_port()}", "fail", "NET007"),
        ):
            secure = hub.url.replace("http:", "https:")
            assert status == asked(environment(secure, https_proxy=address))[1][code].status.value


def test_the_versions_of_git_and_its_large_files(hub, tmp_path):
    """Of the programs on PATH."""
    for name, line in (
        ("git", "git version 2.47.3"),
        ("git-lfs", "git-lfs/3.6.1 (GitHub; linux amd64; go 1.23)"),
    ):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{line}'\n")
        (tmp_path / name).chmod(0o755)
    snapshot, checks = asked(environment(hub.url, PATH=f"{tmp_path}:/usr/bin:/bin"))
    assert ("2.47.3", "3.6.1") == (snapshot.network.git_version, snapshot.network.git_lfs_version)
    assert checks["NET006"].title.startswith("git 2.47.3 with git-lfs 3.6.1; its server is reached in")


def test_an_index_with_metadata_files_is_told(hub):
    """PEP 658: an attribute on the links of the simple page."""
    environ = environment(hub.url, PIP_NO_INDEX="0", PIP_INDEX_URL=f"{hub.url}/simple")
    assert asked(environ)[0].network.server("index").has_metadata_files is False
    hub.page = '<a href="/files/pip-2.0-py3-none-any.whl" data-core-metadata="sha256=0">pip</a>'
    snapshot, checks = asked(environ)
    assert snapshot.network.server("index").has_metadata_files is True
    assert "metadata apart from wheels" in checks["NET002"].title
