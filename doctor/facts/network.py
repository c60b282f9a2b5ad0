"""How the package index, the model hub and git's server answer from here: the one collector that uses the network.

Runs in envdoc's own process, for `--online` alone. Servers are asked one a thread; downloads are bounded by 5 MB and
4 s, everything together by 15 s. What is asked of whom comes from pip, from HF_ENDPOINT or from the hub library's own
source; no server is named here.
"""

import dataclasses
import re
import shutil
import sys
import time
from pathlib import Path
from threading import Lock, Thread
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from envdoc.doctor.child import run as run_child
from envdoc.doctor.errors import EnvdocError
from envdoc.doctor.facts import questions
from envdoc.doctor.facts.pip_settings import (
    PipSettings,
    list_pip_settings,
    parse_pip_settings,
    pip_defaults,
)
from envdoc.doctor.facts.servers import ask_git, ask_hub, ask_index
from envdoc.doctor.facts.snapshot import Network, Package, Question, Server, WantedModel
from envdoc.doctor.facts.transfer import Client, Trust
from envdoc.doctor.files import read_text
from envdoc.doctor.redact import without_credentials

DEADLINE_SECONDS = 12.0  # when no request is begun any more
LIMIT_SECONDS = 15.0  # when a thread that still waits (for a name, say) is left alone
PIP_SECONDS = 5.0
GIT_SECONDS = 3.0
EXTRA_INDEXES = 2


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
