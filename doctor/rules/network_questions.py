"""Rules about what `check --online` asked beside the rates: clocks, addresses, the token, the model, mirrors."""

from typing import Dict, List, Optional, Sequence, Tuple, Union

from envdoc.doctor.facts.snapshot import Question, Server, Snapshot
from envdoc.doctor.finding import Severity
from envdoc.doctor.rules.machine import shorten
from envdoc.doctor.rules.network import (
    NO_ANSWER,
    duration,
    host,
    measured,
    milliseconds,
    require_online_hub,
)
from envdoc.doctor.rules.registry import Passed, Problem, Skip, rule

# Signed addresses of object stores are refused from a difference of 15 minutes on (AWS, "RequestTimeTooSkewed");
# five is what Kerberos allows by default and is far above what a running NTP leaves. Our judgement from those.
SKEW_SECONDS = 5 * 60

# Each new connection of pip and of the hub's library pays it again. Our judgement.
SLOW_NAME_SECONDS = 1.0
FALLBACK_SECONDS = 0.5


@rule("NET010")
def clock_differs(machine: Snapshot) -> Union[List[Problem], Passed]:
    """This machine's clock is far from those of the servers that were asked."""
    told = [s for s in measured(machine).servers if s.skew_seconds is not None]
    if not told:
        raise Skip("no server told its time")
    nearest = min(told, key=lambda server: abs(server.skew_seconds or 0.0))  # a server may be wrong as well
    skew = nearest.skew_seconds or 0.0
    if abs(skew) <= SKEW_SECONDS:
        return Passed({"skew": f"{abs(skew):.0f} s"})
    values = {
        "skew": duration(abs(skew)),
        "direction": "behind" if skew > 0 else "ahead",
        "host": host(nearest.url),
    }
    evidence = tuple(f"{host(s.url)}: {s.skew_seconds:+.0f} s against this machine" for s in told)
    return [Problem(values, evidence, ("downloads", "tokens"))]


@rule("NET011")
def token_refused(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The hub refuses the token that HF_TOKEN holds, and with it every download."""
    question = _question(machine, "token", "HF_TOKEN is not set")
    if question.http_status != 401:
        return Passed({"host": host(question.url), "latency": milliseconds(question.seconds)})
    return [Problem({"host": host(question.url)}, _evidence(question), ("downloads",))]


@rule("NET012")
def model_refused(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The model of --model is gated, private or not there for this token."""
    question = _question(machine, "model", "run with --online --model NAME")
    model = machine.model
    name = shorten(model.name if model else "the model", 36)
    if question.status == "answered":
        state = "open to everybody" if not question.told else question.told
        return Passed({"model": name, "latency": milliseconds(question.seconds), "state": state})
    token = measured(machine).question("token")
    if question.http_status == 401 and token is not None and token.http_status == 401:
        raise Skip("the hub refuses the token itself, for public models too, which NET011 judges")
    reason, commands = _refusal(machine, question, model.name if model else "ORGANISATION/NAME")
    here = model is not None and model.source in ("cache", "folder")
    values = {"model": name, "host": host(question.url), **reason}
    severity = Severity.INFO if here else None
    return [Problem(values, _evidence(question), ("loading the model",), severity, commands)]


@rule("NET013")
def mirror_incomplete(machine: Snapshot) -> Union[List[Problem], Passed]:
    """The mirror in HF_ENDPOINT gives files and no list of files."""
    question = _question(machine, "catalogue", "HF_ENDPOINT names no mirror, or --model asked it already")
    values = {"host": host(question.url), "latency": milliseconds(question.seconds)}
    if question.status == "failed":
        told = {**values, "reason": question.error}
        return [Problem(told, _evidence(question), ("snapshot_download", "data sets"))]
    parts = {True: " and parts of files", False: " and no parts of files (a broken download begins anew)"}
    hub = measured(machine).server("hub")
    honours = None if hub is None else hub.honours_ranges
    return Passed({**values, "parts": "" if honours is None else parts[honours]})


@rule("NET014")
def slow_connections(machine: Snapshot) -> Union[List[Problem], Passed]:
    """Every connection waits first: for a name, or for an address of IPv6 that leads nowhere."""
    told = [s for s in measured(machine).servers if s.connect_seconds is not None and not s.proxy]
    if not told:
        raise Skip("no connection was made")
    lost = max(told, key=lambda server: server.fallback_seconds)
    if lost.fallback_seconds > FALLBACK_SECONDS:
        family = lost.fallback_family or "first"
        cause = f"an {family} address that does not answer"
        command = "getent ahosts " + _bare_host(lost)
        values = {"seconds": duration(lost.fallback_seconds), "cause": cause, "host": host(lost.url)}
        return [Problem(values, _waits(told), ("downloads",), commands=(command,))]
    slow = max(told, key=lambda server: server.resolve_seconds or 0.0)
    seconds = slow.resolve_seconds or 0.0
    if seconds > SLOW_NAME_SECONDS:
        values = {"seconds": f"{seconds:.1f} s", "cause": "the name's resolution", "host": host(slow.url)}
        return [Problem(values, _waits(told), ("downloads",), commands=("cat /etc/resolv.conf",))]
    most = max(server.connect_seconds or 0.0 for server in told)
    return Passed({"name": milliseconds(seconds), "connection": milliseconds(most)})


@rule("NET015")
def extra_index_refuses(machine: Snapshot) -> Union[List[Problem], Passed]:
    """An extra index in pip's settings answers with something else than an index."""
    asked = [q for q in measured(machine).questions if q.purpose == "extra index"]
    if not asked:
        raise Skip("pip is told of no extra index")
    wrong = [q for q in asked if q.status == "failed"]
    if wrong:
        return [
            Problem({"host": host(q.url), "reason": q.error}, _evidence(q), ("pip install",)) for q in wrong
        ]
    answered = [q for q in asked if q.status == "answered"]
    if not answered:
        raise Skip(f"no answer from {host(asked[0].url)}: {asked[0].error}; pip waits for it all the same")
    latency = milliseconds(max(q.seconds for q in answered))
    return Passed({"count": f"{len(answered)} of {len(asked)}", "latency": latency})


def _question(machine: Snapshot, purpose: str, otherwise: str) -> Question:
    """The question of that purpose. Raises Skip where it was not asked, or had no answer."""
    question = measured(machine).question(purpose)
    if question is None:
        raise Skip(otherwise)
    require_online_hub(machine)
    if question.stage in NO_ANSWER:
        raise Skip(f"no answer: {question.error}")
    other = {"proxy": "NET007", "certificate": "NET003"}.get(question.stage)
    if other:
        raise Skip(f"it could not be asked, which {other} judges")
    if question.status == "skipped":
        raise Skip(question.error or "it was not asked")
    if (question.http_status or 0) in (429, 500, 502, 503, 504):
        raise Skip(f"the hub is busy: {question.error}")
    return question


def _refusal(
    machine: Snapshot, question: Question, name: str
) -> Tuple[Dict[str, str], Optional[Tuple[str, ...]]]:
    """The words and commands for the status and the code that the hub gave."""
    has_token = "HF_TOKEN" in machine.variables or "HUGGING_FACE_HUB_TOKEN" in machine.variables
    log_in = () if has_token else ("hf auth login",)
    gated = question.told == "GatedRepo" or question.told.startswith("gated")
    if gated or question.http_status == 403:
        return {
            "state": "gated" if gated else "closed to this token",
            "reason": "its licence has to be accepted on the model's page, by the account that the token belongs to"
            + ("" if has_token else ", and no token is set here"),
        }, (*log_in, f"hf download {name} config.json")
    if question.http_status == 401 and not has_token:
        return {
            "state": "private or not there",
            "reason": "the hub gives the same answer to both where no token is sent",
        }, ("hf auth login",)
    if question.http_status in (401, 404):
        return {
            "state": "not there",
            "reason": "no model of that name is shown to this token: a slip in the name, or a private model of others",
        }, None
    return {"state": "not served", "reason": question.error or "it gives no reason"}, None


def _evidence(question: Question) -> Tuple[str, ...]:
    status = f"HTTP status {question.http_status}" if question.http_status is not None else question.error
    code = f", {question.told}" if question.told else ""
    return (f"{question.url}: {status}{code} after {milliseconds(question.seconds)}",)


def _waits(servers: Sequence[Server]) -> Tuple[str, ...]:
    return tuple(
        f"{host(s.url)}: name {milliseconds(s.resolve_seconds)}, lost {milliseconds(s.fallback_seconds)}, "
        f"connection {milliseconds(s.connect_seconds)}"
        for s in servers
    )


def _bare_host(server: Server) -> str:
    return host(server.url).partition(":")[0]
