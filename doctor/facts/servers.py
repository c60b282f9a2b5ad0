"""What each of three servers answers: pip's index, the model hub, and the hub's host to git.

No server is named here but by its projects and files. One that gives no answer is "skipped"; one whose answer is wrong
has "failed".
"""

import dataclasses
import html
import re
from threading import Lock
from typing import Callable, List, Mapping, Optional, Tuple
from urllib.parse import urljoin

from envdoc.doctor.facts.pip_settings import PipSettings
from envdoc.doctor.facts.snapshot import Server
from envdoc.doctor.facts.stages import NO_ANSWER, StageError
from envdoc.doctor.facts.transfer import Answer, Client, Timings, Trust

DOWNLOAD_BYTES = 5_000_000
DOWNLOAD_SECONDS = 4.0
PAGE_BYTES = 2_000_000
LEAST_BYTES = 100_000  # a rate over less is mostly latency
# Projects that any index for training holds; their wheels are a few MB.
PROJECTS = ("pip", "setuptools", "numpy", "torch")
# A public repository with a file of several MB, as huggingface_hub's address template asks for it.
HUB_FILE = "openai-community/gpt2/resolve/main/model.safetensors"


def ask_index(
    settings: PipSettings, default: str, environ: Mapping[str, str], client: Client, turn: Lock
) -> Server:
    """pip's index: the simple page of a project that it holds, and the delivery rate of a wheel from there."""
    url, source = (
        settings.index_url or default,
        "pip's configuration" if settings.index_url else "pip's default",
    )
    if environ.get("PIP_INDEX_URL") == url:
        source = "PIP_INDEX_URL"
    server = Server("index", url, source)
    if settings.no_index:
        return dataclasses.replace(server, error="pip is configured to use no index (no-index)")
    if not url:
        return dataclasses.replace(server, error="no pip tells which index it uses")
    if not url.startswith(("http://", "https://")):
        return dataclasses.replace(server, error="the index is a folder, which needs no network")
    pages: List[Answer] = []
    measured = _measured(server, client, lambda: _index_rate(client, url, turn, pages))
    if not pages or pages[-1].status >= 400:
        return measured
    body = pages[-1].body
    has = b"data-core-metadata" in body or b"data-dist-info-metadata" in body
    return dataclasses.replace(measured, has_metadata_files=has)


def ask_hub(url: str, source: str, client: Client, turn: Lock) -> Server:
    """The model hub: whether it answers, and the delivery rate of the beginning of a public file."""
    server = Server("hub", url, source)
    if not url:
        return dataclasses.replace(
            server, error="HF_ENDPOINT is not set and huggingface_hub is not installed"
        )
    return _measured(server, client, lambda: _download(client, f"{url.rstrip('/')}/{HUB_FILE}", turn))


def ask_git(git: str, url: str, extra: str, environ: Mapping[str, str], deadline: float) -> Server:
    """The connection that `git clone https://` to the hub's host would make, with git's own CA bundle."""
    server = Server("git", url, "the hub's host")
    if not git:
        return dataclasses.replace(server, error="git is not installed")
    if not url:
        return dataclasses.replace(server, error="no server is known that git would be asked to reach")
    client = Client(environ, Trust(environ.get("GIT_SSL_CAINFO", ""), extra), deadline)
    return _measured(server, client, lambda: client.connect(url).close())


def wheel_on(page: Answer) -> str:
    """The address of the last wheel on a simple page (the newest release, as indexes sort), or nothing."""
    links = re.findall(
        r"""<a\s[^>]*?href\s*=\s*["']([^"']+)["']""", page.body.decode("utf-8", "replace"), re.IGNORECASE
    )
    wheels = [link for link in links if re.split("[?#]", link)[0].endswith(".whl")]
    return urljoin(page.url, html.unescape(wheels[-1]).partition("#")[0]) if wheels else ""


def _index_rate(client: Client, url: str, turn: Lock, pages: List[Answer]) -> Optional[Answer]:
    """The answer to the first project that is there, left in `pages`; a part of its newest wheel if there is one."""
    page: Optional[Answer] = None
    for project in PROJECTS:
        page = client.get(f"{url.rstrip('/')}/{project}/", PAGE_BYTES, DOWNLOAD_SECONDS)
        pages.append(page)
        if page.status != 404:
            break
    if page is None or page.status >= 400:
        return page
    wheel = wheel_on(page)
    if not wheel:
        return page
    try:
        return _download(client, wheel, turn)
    except StageError as error:  # indexes keep their files on another host
        raise StageError(error.stage, f"its files: {error}") from error


def _download(client: Client, url: str, turn: Lock) -> Answer:
    with turn:
        return client.get(url, DOWNLOAD_BYTES, DOWNLOAD_SECONDS, ranged=True)


def _measured(server: Server, client: Client, ask: Callable[[], Optional[Answer]]) -> Server:
    """The server with what came of asking it."""
    answer: Optional[Answer] = None
    status, stage, problem = "answered", "", ""
    try:
        answer = ask()
    except StageError as error:
        stage, problem = error.stage, str(error)
        status = "skipped" if stage in (*NO_ANSWER, "unmeasured") else "failed"
        stage = "" if stage == "unmeasured" else stage
    timings: Timings = client.timings
    measured = dataclasses.replace(
        server,
        status=status,
        stage=stage,
        error=problem,
        resolve_seconds=timings.resolve,
        connect_seconds=timings.connect,
        tls_seconds=timings.tls,
        latency_seconds=timings.latency,
        proxy=timings.proxy,
        skew_seconds=None if timings.skew is None else round(timings.skew),
        fallback_seconds=round(timings.fallback, 3),
        fallback_family=timings.fallback_family,
    )
    if answer is None:
        return measured
    measured = dataclasses.replace(measured, http_status=answer.status)
    if answer.status >= 400:
        if answer.status in _without_rate(server):
            return measured
        refused = f"it answers with HTTP status {answer.status}"
        stage = "http"
        if answer.status == 407:
            stage, refused = "proxy", "the proxy wants a log-in (HTTP status 407)"
        return dataclasses.replace(measured, status="failed", stage=stage, error=refused)
    size = len(answer.body)
    rate = size / answer.seconds if size >= LEAST_BYTES or answer.seconds >= DOWNLOAD_SECONDS else None
    return dataclasses.replace(
        measured,
        bytes_per_second=rate,
        measured_bytes=size,
        honours_ranges=answer.status == 206 if size >= LEAST_BYTES else None,
    )


def _without_rate(server: Server) -> Tuple[int, ...]:
    """The HTTP statuses that do not tell that the server is at fault: it answers, and what was asked for is not ours.

    A hub may lack the file. An index may want a log-in that pip takes from ~/.netrc or a keyring. 429: ask later.
    """
    if server.purpose == "hub":
        return (401, 403, 404, 429)
    return (429,) if "@" in server.url else (401, 429)
