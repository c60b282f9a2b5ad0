"""Rules about what `check --online` measured: the package index, the model hub, git, proxies and certificates.

A server that gives no answer (no route, no name, a closed port, a time-out) is not judged: that may be how the machine
is meant, and says nothing of the server. An answer that is wrong is a finding: a refusal, a certificate, no HTTP.
"""

from typing import List, Optional, Tuple, Union

from envdoc.doctor.facts.snapshot import Network, Server, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import gigabytes, shorten, version_of
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# What one environment and one model are to download (tables/storage_floors.toml: 2.5 to 4.1 GB, and 13.5 GB).
ENVIRONMENT_BYTES = 3_000_000_000
MODEL_BYTES = 13_500_000_000

# Seconds for those above which a rented hour is mostly waiting. Our judgement.
SLOW_ENVIRONMENT_SECONDS = 30 * 60
LONG_ENVIRONMENT_SECONDS = 10 * 60
SLOW_MODEL_SECONDS = 60 * 60

NO_ANSWER = ("name", "connection", "timeout", "closed", "proxy silent")
NAMES = {"index": "package index", "hub": "model hub", "git": "git server"}
INSTEAD = {
    "index": "to install from elsewhere: export PIP_INDEX_URL=https://MIRROR/simple",
    "hub": "to load models from elsewhere: export HF_ENDPOINT=https://MIRROR, or copy them here",
    "git": "a browser elsewhere and a copy of the folder do as well",
}


@rule("NET001")
def index_refuses(machine: Snapshot) -> Union[List[Problem], Passed]:
    """pip's index answers, and not with what pip needs."""
    return _answered(_asked(machine, "index"))


@rule("NET002")
def index_slow(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A new environment would take long to download from pip's index."""
    server = _asked(machine, "index")
    rate = _rate(server)
    seconds = ENVIRONMENT_BYTES / rate
    values = {"rate": speed(rate), "takes": duration(seconds), "index": host(server.url)}
    if seconds <= LONG_ENVIRONMENT_SECONDS:
        told = {True: ", metadata apart from wheels", False: ", no metadata apart from wheels", None: ""}
        latency = milliseconds(server.latency_seconds)
        return Passed({**values, "latency": latency, "metadata": told[server.has_metadata_files]})
    severity = None if seconds > SLOW_ENVIRONMENT_SECONDS else Severity.INFO
    return [Problem(values, _evidence(server), severity=severity)]


@rule("NET003")
def certificate_refused(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A server's certificate is not accepted here: the clock, the CA bundle, or something in between."""
    refused = [server for server in measured(machine).servers if server.stage == "certificate"]
    if not refused:
        seconds = [s.tls_seconds for s in measured(machine).servers if s.tls_seconds is not None]
        if not seconds:
            raise Skip("no server showed a certificate")
        return Passed({"count": len(seconds), "latency": milliseconds(max(seconds))})
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
def hub_refuses(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The model hub answers, and not as a hub does."""
    require_online_hub(machine)
    return _answered(_asked(machine, "hub"))


@rule("NET005")
def hub_slow(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A model would take long to download from the hub."""
    require_online_hub(machine)
    server = _asked(machine, "hub")
    rate = _rate(server)
    size, what = _to_download(machine)
    seconds = size / rate
    values = {
        "rate": speed(rate),
        "takes": duration(seconds),
        "hub": host(server.url),
        "model": what,
        "size": gigabytes(size),
    }
    if seconds <= SLOW_MODEL_SECONDS:
        return Passed({**values, "latency": milliseconds(server.latency_seconds)})
    faster = () if version_of(machine, "hf-xet") else ("python -m pip install hf_xet",)
    commands = ("export HF_ENDPOINT=https://MIRROR", *faster)
    return [Problem(values, _evidence(server), commands=commands)]


@rule("NET006")
def git_connects(machine: Snapshot) -> Union[List[Problem], Passed]:
    """git is missing, or its server answers with something else than TLS."""
    network = measured(machine)
    if not network.git:
        values = {
            "problem": "git is not installed",
            "detail": "There is no program `git` on the PATH, so that nothing can be cloned",
        }
        commands = ("sudo apt-get install -y git",)
        return [Problem(values, severity=Severity.INFO, commands=commands)]
    programs = " ".join(("git", network.git_version)).strip()
    lfs = (
        f"git-lfs {network.git_lfs_version}"
        if network.git_lfs_version
        else "no git-lfs (a cloned model would be pointers)"
    )
    server = _asked(machine, "git")
    if server.status == "answered":
        latency = milliseconds((server.connect_seconds or 0.0) + (server.tls_seconds or 0.0))
        return Passed({"latency": latency, "git": programs, "lfs": lfs})
    _require_a_fault_of_its_own(server)
    values = {"problem": "git's server is not reached", "detail": f"git is there, and {server.error}"}
    return [Problem(values, _evidence(server), ("git clone",), commands=(f"git ls-remote {server.url}",))]


@rule("NET007")
def proxy_silent(machine: Snapshot) -> Union[List[Problem], Passed]:
    """A proxy is configured, and refuses, or nobody listens at its address."""
    network = measured(machine)
    through = [server for server in network.servers if server.proxy]
    if not through:
        raise Skip("no proxy is used")
    silent = [server for server in through if server.stage == "proxy"]
    if not silent:
        asked = [server for server in through if server.stage not in NO_ANSWER]
        if not asked:
            raise Skip(f"no answer: {through[0].error}")
        latency = milliseconds(max(server.connect_seconds or 0.0 for server in asked))
        return Passed({"proxy": through[0].proxy, "latency": latency})
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


def measured(machine: Snapshot) -> Network:
    """What was measured. Raises Skip where the check ran without --online."""
    if machine.network is None:
        raise Skip("run with --online")
    return machine.network


def _asked(machine: Snapshot, purpose: str) -> Server:
    """What that server answered. Raises Skip where it was not asked, or gave no answer."""
    server = measured(machine).server(purpose)
    if server is None or (server.status == "skipped" and not server.stage):
        raise Skip(f"the {NAMES[purpose]} was not asked: {server.error if server else 'unknown'}")
    if server.stage in NO_ANSWER:
        raise Skip(f"no answer from the {NAMES[purpose]}: {server.error}; {INSTEAD[purpose]}")
    return server


def _rate(server: Server) -> float:
    if server.stage:
        raise Skip(f"the {NAMES[server.purpose]} delivered nothing: {server.error}")
    if not server.bytes_per_second:
        raise Skip(f"the {NAMES[server.purpose]} delivered nothing that could be timed")
    return server.bytes_per_second


def _to_download(machine: Snapshot) -> Tuple[int, str]:
    """Bytes of the model of --model that are still to come, and its name; else of a usual one."""
    model = machine.model
    if model is None or model.download_bytes is None or model.source == "folder":
        return MODEL_BYTES, "a 7B model"
    left = model.download_bytes - model.present_bytes
    if left <= 0:
        raise Skip(f"{shorten(model.name, 40)} lies in the cache already")
    return left, shorten(model.name.rpartition("/")[2], 24)


def _answered(server: Server) -> Union[List[Problem], Passed]:
    if server.status == "answered":
        return Passed({"host": host(server.url), "latency": milliseconds(server.latency_seconds)})
    _require_a_fault_of_its_own(server)
    return [
        Problem(
            {"host": host(server.url), "reason": server.error, "source": server.source}, _evidence(server)
        )
    ]


def _require_a_fault_of_its_own(server: Server) -> None:
    """Raises Skip where another rule names the fault."""
    other = {"proxy": "NET007", "certificate": "NET003"}.get(server.stage)
    if other:
        raise Skip(f"it could not be reached, which {other} judges")


def require_online_hub(machine: Snapshot) -> None:
    """Raises Skip where a variable forbids the hub's library to ask it."""
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
