"""For each rule about the network and a rented machine's share: machines that fail it and machines that pass."""

from dataclasses import replace

from rule_machines import H100, machine

from envdoc.doctor.facts.snapshot import Network, Server

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


M = online()
EXPIRED = "the certificate of mirror.example is refused: certificate has expired"
REFUSED = "the proxy proxy.example:3128 does not connect: Connection refused"
PROXIED = "http://proxy.example:3128"

FAILING = {
    "NET001": [
        online(failed(INDEX, "name", NO_NAME)),
        online(replace(failed(INDEX, "http", "it answers with HTTP status 403"), http_status=403)),
        online(failed(INDEX, "timeout", "no answer within 5 s")),
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
        online(failed(HUB, "connection", "no connection to hub.example:443: Connection refused")),
        online(failed(HUB, "name", NO_NAME), failed(GIT, "name", NO_NAME)),
    ],
    "NET005": [online(replace(HUB, bytes_per_second=3e6)), online(replace(HUB, bytes_per_second=90e3))],
    "NET006": [
        online(replace(GIT, status="skipped"), git=""),
        online(failed(GIT, "connection", "no connection to hub.example:443: Connection refused")),
    ],
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
    "NET002": [M, online(replace(INDEX, bytes_per_second=5e6))],
    "NET003": [M, online(failed(INDEX, "name", NO_NAME))],
    "NET004": [M],
    "NET005": [M, online(replace(HUB, bytes_per_second=4e6))],
    "NET006": [M],
    "NET007": [online(replace(INDEX, proxy=PROXIED))],
    "SYS040": [machine(), machine().with_gpu(H100, 8).host(cpu_count=16), machine().host(cpu_limit=2.0)],
    "SYS041": [machine(), machine().host(memory_limit_bytes=64 << 30)],
}
