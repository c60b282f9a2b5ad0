"""Rules about what `check --online` measured: the package index, the model hub, git, proxies and certificates."""

from typing import List, Optional, Tuple, Union

from envdoc.doctor.facts.snapshot import Network, Server, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# What one environment and one model are to download (tables/storage_floors.toml: 2.5 to 4.1 GB, and 13.5 GB).
ENVIRONMENT_BYTES = 3_000_000_000
MODEL_BYTES = 13_500_000_000

# Seconds for those above which a rented hour is mostly waiting. Our judgement.
SLOW_ENVIRONMENT_SECONDS = 30 * 60
LONG_ENVIRONMENT_SECONDS = 10 * 60
SLOW_MODEL_SECONDS = 60 * 60

NO_ANSWER = ("name", "connection", "timeout", "tls", "http")
NO_WAY_OUT = ("name", "connection", "timeout")
NAMES = {"index": "package index", "hub": "model hub", "git": "git server"}


@rule("NET001")
def index_unreachable(machine: Snapshot) -> List[Problem]:
    """pip's index gives no answer, or refuses, while other servers answer."""
    return _unreachable(machine, _asked(machine, "index"))


@rule("NET002")
def index_slow(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A new environment would take long to download from pip's index."""
    server = _asked(machine, "index")
    rate = _rate(server)
    seconds = ENVIRONMENT_BYTES / rate
    values = {"rate": speed(rate), "takes": duration(seconds), "index": host(server.url)}
    if seconds <= LONG_ENVIRONMENT_SECONDS:
        return Passed({**values, "latency": milliseconds(server.latency_seconds)})
    severity = None if seconds > SLOW_ENVIRONMENT_SECONDS else Severity.INFO
    return [Problem(values, _evidence(server), severity=severity)]


@rule("NET003")
def certificate_refused(machine: Snapshot) -> List[Problem]:
    """A server's certificate is not accepted here: the clock, the CA bundle, or something in between."""
    refused = [server for server in _measured(machine).servers if server.stage == "certificate"]
    if not refused:
        if not any(server.tls_seconds is not None for server in _measured(machine).servers):
            raise Skip("no server was asked for its certificate")
        return []
    first = refused[0]
    return [
        Problem(
            {
                "what": NAMES[first.purpose],
                "reason": first.error,
                "clock": machine.taken_at or "not told",
            },
            tuple(f"{host(server.url)}: {server.error}" for server in refused),
            tuple(NAMES[server.purpose] for server in refused),
        )
    ]


@rule("NET004")
def hub_unreachable(machine: Snapshot) -> List[Problem]:
    """The model hub gives no answer while other servers do."""
    _require_online_hub(machine)
    return _unreachable(machine, _asked(machine, "hub"))


@rule("NET005")
def hub_slow(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A model would take long to download from the hub."""
    _require_online_hub(machine)
    server = _asked(machine, "hub")
    rate = _rate(server)
    seconds = MODEL_BYTES / rate
    values = {"rate": speed(rate), "takes": duration(seconds), "hub": host(server.url)}
    if seconds <= SLOW_MODEL_SECONDS:
        return Passed({**values, "latency": milliseconds(server.latency_seconds)})
    return [Problem(values, _evidence(server))]


@rule("NET006")
def git_connects(machine: Snapshot) -> Union[List[Problem], Passed]:
    """git is missing, or its server cannot be reached although the hub answers otherwise."""
    network = _measured(machine)
    if not network.git:
        values = {
            "problem": "git is not installed",
            "detail": "There is no program `git` on the PATH, so that nothing can be cloned",
        }
        commands = ("sudo apt-get install -y git",)
        return [Problem(values, severity=Severity.INFO, commands=commands)]
    server, hub = _asked(machine, "git"), network.server("hub")
    if server.status == "answered":
        return Passed(
            {"latency": milliseconds((server.connect_seconds or 0.0) + (server.tls_seconds or 0.0))}
        )
    if hub is not None and hub.stage in NO_ANSWER:
        raise Skip("the hub's host is not reached at all, which NET004 judges")
    _require_a_fault_of_its_own(machine, server)
    values = {"problem": "git's server is not reached", "detail": f"git is there, and {server.error}"}
    return [Problem(values, _evidence(server), ("git clone",), commands=(f"git ls-remote {server.url}",))]


@rule("NET007")
def proxy_silent(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A proxy is configured and does not answer, or refuses."""
    network = _measured(machine)
    through = [server for server in network.servers if server.proxy]
    if not through:
        raise Skip("no proxy is used")
    silent = [server for server in through if server.stage == "proxy"]
    if not silent:
        return Passed({"proxy": through[0].proxy})
    first = silent[0]
    return [
        Problem(
            {"proxy": shorten(host(first.proxy), 40), "reason": first.error},
            tuple(f"{NAMES[server.purpose]}: {server.error}" for server in silent),
            tuple(NAMES[server.purpose] for server in silent),
        )
    ]


def host(url: str) -> str:
    """`mirror.example` of `https://mirror.example/simple`."""
    return shorten(url.partition("://")[2].partition("/")[0].rpartition("@")[2] or "the server", 30)


def speed(rate: float) -> str:
    """`12.5 MB/s`, in powers of ten as lines are sold; `40 kB/s` below one."""
    return f"{rate / 1e6:.1f} MB/s" if rate >= 1e6 else f"{rate / 1e3:.0f} kB/s"


def duration(seconds: float) -> str:
    """`40 s`, `25 minutes`, `3.5 hours`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"


def milliseconds(seconds: Optional[float]) -> str:
    """`12 ms`."""
    return f"{(seconds or 0.0) * 1000:.0f} ms"


def _measured(machine: Snapshot) -> Network:
    if machine.network is None:
        raise Skip("run with --online")
    return machine.network


def _asked(machine: Snapshot, purpose: str) -> Server:
    server = _measured(machine).server(purpose)
    if server is None or server.status == "skipped":
        raise Skip(f"the {NAMES[purpose]} was not asked: {server.error if server else 'unknown'}")
    return server


def _rate(server: Server) -> float:
    if not server.bytes_per_second:
        raise Skip(f"the {NAMES[server.purpose]} delivered nothing that could be timed")
    return server.bytes_per_second


def _unreachable(machine: Snapshot, server: Server) -> List[Problem]:
    if server.status == "answered":
        return []
    _require_a_fault_of_its_own(machine, server)
    return [
        Problem(
            {"host": host(server.url), "reason": server.error, "source": server.source}, _evidence(server)
        )
    ]


def _require_a_fault_of_its_own(machine: Snapshot, server: Server) -> None:
    """Raises Skip where another rule names the fault, or where there is no network at all."""
    other = {"proxy": "NET007", "certificate": "NET003"}.get(server.stage)
    if other:
        raise Skip(f"it could not be reached, which {other} judges")
    asked = [one for one in _measured(machine).servers if one.status != "skipped"]
    if all(one.stage in NO_WAY_OUT for one in asked):
        raise Skip(f"no server answered at all, so there may be no network here: {server.error}")


def _require_online_hub(machine: Snapshot) -> None:
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if machine.variables.get(name, "").upper() in ("1", "ON", "YES", "TRUE"):
            raise Skip(f"{name} forbids to use the hub")


def _evidence(server: Server) -> Tuple[str, ...]:
    parts = [f"{server.url} ({server.source})"]
    if server.http_status is not None:
        parts.append(f"HTTP status {server.http_status}")
    stages = (
        ("name", server.resolve_seconds),
        ("connection", server.connect_seconds),
        ("TLS", server.tls_seconds),
        ("answer", server.latency_seconds),
    )
    parts += [f"{stage} {milliseconds(seconds)}" for stage, seconds in stages if seconds is not None]
    if server.bytes_per_second:
        parts.append(f"{server.measured_bytes:,} bytes at {speed(server.bytes_per_second)}")
    return (", ".join(parts),)
