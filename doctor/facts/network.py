"""How the package index, the model hub and git's server answer from here: the one collector that uses the network.

Runs in envdoc's own process, for `--online` alone. Servers are asked one a thread; downloads are bounded by 5 MB and
4 s, everything together by 15 s. What is asked of whom comes from pip, from HF_ENDPOINT or from the hub library's own
source; no server is named here. A server that gives no answer is "skipped"; one whose answer is wrong has "failed".
"""

import dataclasses
import html
import re
import shutil
import sys
import time
from pathlib import Path
from threading import Lock, Thread
from typing import Callable, Dict, List, Mapping, Optional, Tuple
from urllib.parse import urljoin

from envdoc.doctor.child import run as run_child
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts import questions
from envdoc.doctor.facts.pip_settings import (
    PipSettings,
    list_pip_settings,
    parse_pip_settings,
    pip_defaults,
)
from envdoc.doctor.facts.snapshot import Network, Package, Question, Server, WantedModel
from envdoc.doctor.facts.transfer import NO_ANSWER, Answer, Client, StageError, Timings, Trust
from envdoc.doctor.files import read_text
from envdoc.doctor.redact import without_credentials

DEADLINE_SECONDS = 12.0  # when no request is begun any more
LIMIT_SECONDS = 15.0  # when a thread that still waits (for a name, say) is left alone
PIP_SECONDS = 5.0
GIT_SECONDS = 3.0
EXTRA_INDEXES = 2
DOWNLOAD_BYTES = 5_000_000
DOWNLOAD_SECONDS = 4.0
PAGE_BYTES = 2_000_000
LEAST_BYTES = 100_000  # a rate over less is mostly latency
# Projects that any index for training holds; their wheels are a few MB.
PROJECTS = ("pip", "setuptools", "numpy", "torch")
# A public repository with a file of several MB, as huggingface_hub's address template asks for it.
HUB_FILE = "openai-community/gpt2/resolve/main/model.safetensors"


def network(python: str, packages: Tuple[Package, ...], environ: Mapping[str, str]) -> Network:
    """What each server answered, within about 15 s; nothing is raised.

    `python` is asked for pip's configuration; `packages` tell where the hub library lies.
    """
    return measure(python, packages, environ, None)[0]


def measure(
    python: str, packages: Tuple[Package, ...], environ: Mapping[str, str], model: Optional[WantedModel]
) -> Tuple[Network, Optional[WantedModel]]:
    """The same, and the model as the hub tells it, where `model` names one that does not lie in a folder here."""
    begun = time.monotonic()
    deadline = begun + DEADLINE_SECONDS
    hub_url, hub_source = hub_endpoint(packages, environ)
    extra = _certifi(packages)
    turn = Lock()  # two downloads at a time would each get half of a slow line
    git = shutil.which("git", path=environ.get("PATH")) or ""
    token = next((environ[n] for n in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if environ.get(n)), "")
    servers: Dict[str, Server] = {}
    asked: List[Question] = []
    versions: Dict[str, str] = {}
    models: List[WantedModel] = []

    def hub_client() -> Client:
        bundle = _bundle(environ, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        return Client(environ, Trust(bundle, extra), deadline)

    def index() -> None:
        settings = _pip_settings(python, environ)
        default, certificates = _pip_defaults(python, environ)
        trust = Trust(
            settings.certificate or _bundle(environ, "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
            certificates,
            settings.trusted_hosts,
        )
        client = Client(environ, trust, deadline, settings.proxy)
        servers["index"] = ask_index(settings, default, environ, client, turn)
        others = [url for url in settings.extra_index_urls if url.startswith(("http://", "https://"))]
        for url in [] if settings.no_index else others[:EXTRA_INDEXES]:
            other = Client(environ, trust, deadline, settings.proxy)
            asked.append(questions.extra_index(other, url))

    def hub() -> None:
        servers["hub"] = ask_hub(hub_url, hub_source, hub_client(), turn)

    def repositories() -> None:
        servers["git"] = ask_git(git, hub_url, extra, environ, deadline)

    def programs() -> None:
        versions.update(git_versions(git, environ))

    def of_the_hub() -> None:
        if not hub_url:
            return
        if token:
            asked.append(questions.token(hub_client(), hub_url, token))
        if model is not None and model.source != "folder":
            answer, told = questions.model(hub_client(), hub_url, model, token)
            asked.append(answer)
            models.append(told)
        elif hub_source == "HF_ENDPOINT":
            asked.append(questions.catalogue(hub_client(), hub_url, token))

    jobs: Dict[str, Callable[[], None]] = {
        "index": index,
        "hub": hub,
        "git": repositories,
        "programs": programs,
        "questions": of_the_hub,
    }

    def run(purpose: str) -> None:
        try:
            jobs[purpose]()
        except Exception as error:  # one server's oddity must not end the run
            told = f"It could not be measured: {type(error).__name__}: {error}"
            servers.setdefault(purpose, Server(purpose, error=told))

    threads = [Thread(target=run, args=(purpose,), daemon=True) for purpose in jobs]
    for thread in threads:
        thread.start()
    end = begun + LIMIT_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    late = f"no answer within {LIMIT_SECONDS:.0f} s"
    told = [
        servers.get(purpose) or Server(purpose, stage="timeout", error=late)
        for purpose in ("index", "hub", "git")
    ]
    measured = Network(
        git=git,
        servers=tuple(_clean(server) for server in told),
        git_version=versions.get("git", ""),
        git_lfs_version=versions.get("git-lfs", ""),
        questions=tuple(asked),
        seconds=round(time.monotonic() - begun, 3),
    )
    return measured, models[0] if models else model


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
    client = Client(environ, Trust(_bundle(environ, "GIT_SSL_CAINFO"), extra), deadline)
    return _measured(server, client, lambda: client.connect(url).close())


def git_versions(git: str, environ: Mapping[str, str]) -> Dict[str, str]:
    """`{"git": "2.47.3", "git-lfs": "3.6.1"}`, of those that are there and say so."""
    found: Dict[str, str] = {}
    lfs = shutil.which("git-lfs", path=environ.get("PATH")) if git else None
    for name, argv in (("git", [git, "--version"]), ("git-lfs", [lfs or "", "version"])):
        if not argv[0]:
            continue
        try:
            done = run_child(argv, GIT_SECONDS, env=environ)
        except EnvdocError:
            continue
        match = re.search(r"(?:git version |git-lfs/)(\d[\w.]*)", done.stdout)
        if done.ok and match:
            found[name] = match.group(1)
    return found


def hub_endpoint(packages: Tuple[Package, ...], environ: Mapping[str, str]) -> Tuple[str, str]:
    """The hub's address and who named it: HF_ENDPOINT, or the constant in huggingface_hub's own source."""
    if environ.get("HF_ENDPOINT"):
        return environ["HF_ENDPOINT"], "HF_ENDPOINT"
    package = next((p for p in packages if p.name == "huggingface-hub"), None)
    if package is None:
        return "", ""
    try:
        text = read_text(Path(package.location) / "huggingface_hub" / "constants.py", 1 << 20)
    except OSError:
        return "", ""
    match = re.search(r"""^_HF_DEFAULT_ENDPOINT\s*=\s*["'](https?://[^"']+)["']""", text, re.MULTILINE)
    return (match.group(1), f"huggingface_hub {package.version}") if match else ("", "")


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


def _pip_settings(python: str, environ: Mapping[str, str]) -> PipSettings:
    """pip's configuration; without a pip in the target, what its variables say."""
    try:
        return parse_pip_settings(list_pip_settings(Path(python), environ, PIP_SECONDS))
    except EnvdocError:
        return PipSettings(
            index_url=environ.get("PIP_INDEX_URL", ""),
            certificate=environ.get("PIP_CERT", ""),
            proxy=environ.get("PIP_PROXY", ""),
        )


def _pip_defaults(python: str, environ: Mapping[str, str]) -> Tuple[str, str]:
    """Of the target's pip, or else of the one beside envdoc."""
    for candidate in (python, sys.executable):
        try:
            return pip_defaults(Path(candidate), environ, PIP_SECONDS)
        except EnvdocError:
            continue
    return "", ""


def _certifi(packages: Tuple[Package, ...]) -> str:
    """The certificates that the target's libraries carry, for a system that has none of its own."""
    package = next((p for p in packages if p.name == "certifi"), None)
    return str(Path(package.location) / "certifi" / "cacert.pem") if package else ""


def _bundle(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


def _clean(server: Server) -> Server:
    """Without the user names and passwords of any address."""
    return dataclasses.replace(
        server,
        url=without_credentials(server.url),
        error=without_credentials(server.error),
        proxy=without_credentials(server.proxy),
    )
