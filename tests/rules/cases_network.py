"""For each rule about the network and a rented machine's share: machines that fail it and machines that pass."""

from dataclasses import replace

from rule_machines import H100, machine

from envdoc.doctor.facts.snapshot import Network, Server, WantedModel
from envdoc.doctor.facts.stages import NO_ANSWER

INDEX = Server(
    "index",
    "https://mirror.example/simple",
    "pip's configuration",
    "answered",
    http_status=206,
    resolve_seconds=0.004,
    connect_seconds=0.01,
    tls_seconds=0.02,
    latency_seconds=0.05,
    bytes_per_second=40e6,
    measured_bytes=5_000_000,
)
HUB = replace(INDEX, purpose="hub", url="https://hub.example", source="huggingface_hub 2.4.0")
GIT = replace(
    HUB,
    purpose="git",
    source="the hub's host",
    http_status=None,
    latency_seconds=None,
    bytes_per_second=None,
    measured_bytes=0,
)
NO_NAME = "the name `mirror.example` is not resolved: Name or service not known"


def online(*changed, git="/usr/bin/git"):
    """The healthy machine with these servers instead of those that are well."""
    servers = {server.purpose: server for server in (INDEX, HUB, GIT, *changed)}
    return machine().but(network=Network(git, tuple(servers.values())))


def failed(server, stage, error):
    """That server, given up in that stage."""
    return replace(server, status="failed", stage=stage, error=error, bytes_per_second=None, measured_bytes=0)


def silent(server, stage, error):
    """That server, of which nothing was heard."""
    return replace(failed(server, stage, error), status="skipped")


M = online()
EXPIRED = "the certificate of mirror.example is refused: certificate has expired"
REFUSED = "the proxy proxy.example:3128 does not connect: Connection refused"
PROXIED = "http://proxy.example:3128"

NO_TLS = failed(GIT, "tls", "no TLS with hub.example: [SSL: WRONG_VERSION_NUMBER] wrong version number")

FAILING = {
    "NET001": [
        online(replace(failed(INDEX, "http", "it answers with HTTP status 403"), http_status=403)),
        online(failed(INDEX, "tls", "no TLS with mirror.example: wrong version number")),
        online(failed(INDEX, "http", "what it answers is no HTTP: garbage")),
    ],
    "NET002": [
        online(replace(INDEX, bytes_per_second=1.6e6)),
        online(replace(INDEX, bytes_per_second=2e6)),
        online(replace(INDEX, bytes_per_second=3e3, url="https://a-very-long-name.of-some.mirror.example/")),
    ],
    "NET003": [
        online(failed(INDEX, "certificate", EXPIRED)),
        online(failed(HUB, "certificate", "the CA bundle /etc/own.pem cannot be read: No such file")),
    ],
    "NET004": [
        online(replace(failed(HUB, "http", "it answers with HTTP status 500"), http_status=500)),
        online(failed(HUB, "http", "more than 4 redirects")),
    ],
    "NET005": [
        online(replace(HUB, bytes_per_second=3e6)),
        online(replace(HUB, bytes_per_second=90e3)),
        online(replace(HUB, bytes_per_second=20e6)).but(
            model=WantedModel("mistralai/Mixtral-8x7B-v0.1", "hub", download_bytes=93_400_000_000)
        ),
    ],
    "NET006": [online(replace(GIT, status="skipped"), git=""), online(NO_TLS)],
    "NET007": [online(replace(failed(INDEX, "proxy", REFUSED), proxy=PROXIED))],
    "SYS040": [
        machine().with_gpu(H100, 8).host(cpu_count=12),
        machine().host(cpu_limit=1.5),
        machine().with_gpu(H100, 4).host(cpu_count=64, cpu_limit=2.0),
    ],
    "SYS041": [machine().host(memory_limit_bytes=16 << 30), machine().host(memory_bytes=32 << 30)],
}

PASSING = {
    "NET001": [M],
    "NET002": [
        M,
        online(replace(INDEX, bytes_per_second=5e6)),
        online(replace(INDEX, has_metadata_files=False)),
    ],
    "NET003": [M, online(silent(INDEX, "name", NO_NAME))],
    "NET004": [M],
    "NET005": [
        M,
        online(replace(HUB, bytes_per_second=4e6)),
        online().but(model=WantedModel("gpt2", "hub", download_bytes=551_000_000)),
    ],
    "NET006": [M],
    "NET007": [online(replace(INDEX, proxy=PROXIED))],
    "SYS040": [machine(), machine().with_gpu(H100, 8).host(cpu_count=16), machine().host(cpu_limit=2.0)],
    "SYS041": [machine(), machine().host(memory_limit_bytes=64 << 30)],
}

# No answer is not judged: whatever kept it, and whichever of the servers.
SKIPPED = {
    "NET001": [online(silent(INDEX, stage, "why")) for stage in NO_ANSWER]
    + [online(failed(INDEX, "timeout", "as an older envdoc told it"))],
    "NET002": [
        online(silent(INDEX, "timeout", "no answer within 5 s")),
        online(replace(INDEX, bytes_per_second=None)),
    ],
    "NET004": [online(silent(HUB, stage, "why")) for stage in NO_ANSWER],
    "NET005": [
        online(silent(HUB, "connection", "no connection to hub.example:443: Connection refused")),
        online().but(model=WantedModel("gpt2", "cache", download_bytes=5, present_bytes=5)),
    ],
    "NET006": [online(silent(GIT, stage, "why")) for stage in NO_ANSWER],
    "NET007": [M, online(replace(silent(INDEX, "proxy silent", "no answer in time"), proxy=PROXIED))],
}
