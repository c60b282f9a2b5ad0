"""The branches of the snapshot that come from running something: probes, and the network with --online."""

from dataclasses import field
from typing import Any, Dict, Optional, Tuple

from envdoc.doctor.facts.snapshot_rented import Question
from envdoc.doctor.frozen import dataclass


@dataclass(frozen=True)
class ProbeResult:
    """What a probe saw when it ran in the target, or how it ended."""

    name: str
    status: str  # "ran", "skipped", "crashed", "timeout", "signal"
    data: Dict[str, Any] = field(default_factory=dict)  # the JSON on its last line
    error: str = ""  # one line: an exception, a signal's name, the reason for skipping
    seconds: float = 0.0


@dataclass(frozen=True)
class Server:
    """What one server answered to `check --online`, and how fast; None where it was not measured."""

    purpose: str  # "index", "hub" or "git"
    url: str = ""  # without credentials
    source: str = ""  # who named it: "PIP_INDEX_URL", "pip's default", ...
    status: str = "skipped"  # "answered", "failed" or "skipped"
    # Where it ended. No answer (skipped): "name", "connection", "timeout", "closed", "proxy silent". A wrong answer
    # (failed): "proxy", "certificate", "tls", "http".
    stage: str = ""
    error: str = ""  # why it failed or was skipped
    http_status: Optional[int] = None
    resolve_seconds: Optional[float] = None  # name resolution
    connect_seconds: Optional[float] = None  # TCP, with the proxy's part where there is one
    tls_seconds: Optional[float] = None
    latency_seconds: Optional[float] = None  # from a request to the first line of its answer
    bytes_per_second: Optional[float] = None  # one connection, from the request on
    measured_bytes: int = 0  # how much was fetched for that
    proxy: str = ""  # without credentials
    skew_seconds: Optional[float] = None  # its clock against this machine's, in whole seconds
    fallback_seconds: float = 0.0  # lost to an address that does not answer before one that does
    fallback_family: str = ""  # "IPv6" or "IPv4": of the address that does not
    has_metadata_files: Optional[bool] = None  # the index serves a wheel's METADATA apart from it (PEP 658)
    honours_ranges: Optional[bool] = None  # a part of a file can be asked for, so that a download is resumed


@dataclass(frozen=True)
class Network:
    """What `check --online` measured; the one part of a snapshot for which the network is touched."""

    git: str = ""  # path of the program; empty: none
    servers: Tuple[Server, ...] = ()
    git_version: str = ""
    git_lfs_version: str = ""  # empty: there is none
    questions: Tuple[Question, ...] = ()
    seconds: float = 0.0  # all of it together

    def server(self, purpose: str) -> Optional[Server]:
        """The server of that purpose, or None where none was asked."""
        return next((server for server in self.servers if server.purpose == purpose), None)

    def question(self, purpose: str) -> Optional[Question]:
        """The first question of that purpose, or None where it was not asked."""
        return next((question for question in self.questions if question.purpose == purpose), None)
