"""Questions to servers that have no rate: is the token accepted, may the model be read, is the mirror a hub?

What came of each is told as in Server: "answered", "failed" for an answer that is wrong, "skipped" for none.
"""

import dataclasses
import json
import time
from typing import Any, Optional, Tuple
from urllib.parse import quote, urlsplit

from envdoc.doctor.facts.model_config import with_config
from envdoc.doctor.facts.model_files import with_files
from envdoc.doctor.facts.snapshot import Question, WantedModel
from envdoc.doctor.facts.stages import NO_ANSWER, StageError
from envdoc.doctor.facts.transfer import Answer, Client
from envdoc.doctor.redact import without_credentials

MOST_BYTES = 8_000_000  # the list of a repository with a thousand files is under one
MOST_SECONDS = 5.0
KNOWN_MODEL = "openai-community/gpt2"  # public, and on every mirror
NO_TOKEN_SENT = "no token is sent over an unencrypted connection"


def token(client: Client, hub: str, secret: str) -> Question:
    """Whether the hub accepts the token: the `whoami` that `hf auth whoami` asks."""
    if not _is_private(hub):
        return Question("token", without_credentials(hub), error=NO_TOKEN_SENT)
    question, answer = _ask(client, "token", hub, f"{_base(hub)}/api/whoami-v2", secret)
    if answer is None or answer.status in (200, 401):
        return question
    told = f"it answers with HTTP status {answer.status}, which says nothing of the token"
    return dataclasses.replace(question, status="skipped", stage="", error=told)


def catalogue(client: Client, hub: str, secret: str) -> Question:
    """Whether a mirror serves the list of a repository's files, by which snapshots and shards are found."""
    address = f"{_base(hub)}/api/models/{KNOWN_MODEL}"
    question, answer = _ask(client, "catalogue", hub, address, secret if _is_private(hub) else "")
    if answer is not None and answer.status in (401, 403):
        return dataclasses.replace(question, status="skipped", stage="", error="the mirror wants a log-in")
    if answer is not None and answer.status == 404 and question.told:  # a hub's own word for a model it lacks
        return dataclasses.replace(question, status="answered", stage="", error="")
    if answer is None or answer.status >= 400:
        return question
    if "siblings" not in _object(answer):
        told = "what it answers is no list of a repository's files"
        return dataclasses.replace(question, status="failed", stage="http", error=told)
    return question


def extra_index(client: Client, url: str) -> Question:
    """Whether an extra index of pip's answers; a project that it lacks is no fault (some say so with 403)."""
    question, answer = _ask(client, "extra index", url, f"{url.rstrip('/')}/torch/", "")
    if answer is not None and answer.status in (401, 403, 404, 429):
        return dataclasses.replace(question, status="answered", stage="", error="")
    return question


def model(client: Client, hub: str, wanted: WantedModel, secret: str) -> Tuple[Question, WantedModel]:
    """Whether the model may be read with this token, and its size by the hub's own list of its files."""
    secret = secret if _is_private(hub) else ""
    name = quote(wanted.name, safe="/")
    listed, answer = _ask(client, "model", hub, f"{_base(hub)}/api/models/{name}?blobs=true", secret)
    if answer is None or answer.status >= 400:
        return listed, wanted
    told = _object(answer)
    found = with_files(wanted, _sizes(told), "hub")
    access, config = _ask(client, "model", hub, f"{_base(hub)}/{name}/resolve/main/config.json", secret)
    gate = told.get("gated")
    access = dataclasses.replace(access, told=access.told or (f"gated: {gate}" if gate else ""))
    if config is not None and config.status == 404:  # it is there, and has no config.json: an adapter, a GGUF
        access = dataclasses.replace(access, status="answered", stage="", error="", told="no config.json")
    if config is not None and config.status < 400:
        found = with_config(found, _object(config))
    return access, found


def _ask(
    client: Client, purpose: str, server: str, address: str, secret: str
) -> Tuple[Question, Optional[Answer]]:
    question = Question(purpose, without_credentials(server))
    started = time.monotonic()
    try:
        answer = client.get(address, MOST_BYTES, MOST_SECONDS, token=secret)
    except StageError as error:
        silent = error.stage in (*NO_ANSWER, "unmeasured")
        return dataclasses.replace(
            question,
            status="skipped" if silent else "failed",
            stage=error.stage,
            error=without_credentials(str(error)),
        ), None
    question = dataclasses.replace(
        question,
        status="answered" if answer.status < 400 else "failed",
        stage="" if answer.status < 400 else "http",
        error="" if answer.status < 400 else f"it answers with HTTP status {answer.status}",
        http_status=answer.status,
        seconds=round(time.monotonic() - started, 3),
        told=answer.headers.get("x-error-code", ""),
    )
    return question, answer


def _sizes(told: Any) -> Tuple[Tuple[str, int], ...]:
    """(file name, bytes) of each file that the hub lists with a size."""
    listed = told.get("siblings")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    return tuple((str(row.get("rfilename")), row["size"]) for row in rows if isinstance(row.get("size"), int))


def _object(answer: Answer) -> Any:
    """The JSON object in a body; an empty one where it is none."""
    try:
        value = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _base(hub: str) -> str:
    return hub.rstrip("/")


def _is_private(hub: str) -> bool:
    """Whether nobody on the way reads what is sent: https, or this machine itself."""
    parts = urlsplit(hub)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")
