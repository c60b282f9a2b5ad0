"""Which file of which index serves a pin: pages of PEP 503 (HTML) and PEP 691 (JSON), and find-links places.

Nothing is resolved and no metadata is asked for: a lock names every file by its hash. A mirror without metadata
files, or one that promises them and answers 404, is therefore as good as any.
"""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Callable, Dict, FrozenSet, List, Mapping, Optional, Sequence, Tuple
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import url2pathname

from packaging.tags import Tag

from envdoc.doctor.fix.failure import Failure
from envdoc.doctor.fix.pins import Machine, Pin, place_of
from envdoc.doctor.fix.pip_config import masked
from envdoc.doctor.fix.pylock import KnownFile
from envdoc.doctor.fix.web import Web, WebError

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"  # PEP 691
_PAGE_LIMIT_BYTES = 64 << 20
_AT_ONCE = 8
PAUSES_SECONDS = (1.0, 3.0)


@dataclass(frozen=True)
class Link:
    """One file that an index offers; what its page does not tell is empty."""

    file: str
    address: str
    sha256: str = ""
    size_bytes: Optional[int] = None


@dataclass(frozen=True)
class Wanted:
    """One wheel to be had: from any of these addresses, with one of these hashes."""

    pin: str
    file: str
    addresses: Tuple[str, ...]
    sha256s: FrozenSet[str]
    size_bytes: Optional[int] = None


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: List[str] = []
        self.base = ""
        self.title = ""
        self._in_title = False

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, Optional[str]]]) -> None:
        told = dict(attrs)
        if tag == "a" and told.get("href"):
            self.links.append(told["href"] or "")
        elif tag == "base" and told.get("href"):
            self.base = told["href"] or ""
        self._in_title = tag == "title"

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
            self._in_title = False


def links_of_page(text: str, address: str, is_json: bool) -> Tuple[List[Link], str]:
    """The files of a page, and its title (empty for JSON). Raises ValueError where it is no such page."""
    if is_json:
        files = json.loads(text)["files"]
        return [
            Link(
                item["filename"],
                urljoin(address, item["url"]).partition("#")[0],
                (item.get("hashes") or {}).get("sha256", ""),
                item.get("size"),
            )
            for item in files
        ], ""
    page = _Page()
    page.feed(text)
    base = urljoin(address, page.base)
    found = []
    for reference in page.links:
        whole, _, fragment = urljoin(base, reference).partition("#")
        told = re.search(r"sha256=([0-9a-f]{64})", fragment)
        found.append(
            Link(unquote(urlsplit(whole).path.rpartition("/")[2]), whole, told.group(1) if told else "")
        )
    return found, page.title.strip()


class SimpleIndex:
    """Every place that pip's settings name, asked once for each package."""

    def __init__(self, web: Web, default_index: str) -> None:
        self._web = web
        settings = web.settings
        self.indexes: Tuple[str, ...] = ()
        if not settings.no_index:
            self.indexes = (settings.index_url or default_index, *settings.extra_index_urls)
        self._places = settings.find_links
        self._titles: Dict[str, str] = {}

    def find(
        self,
        pins: Sequence[Pin],
        machine: Machine,
        known: Mapping[str, KnownFile],
        waiting: Callable[[float], None] = time.sleep,
    ) -> List[Wanted]:
        """One wheel for each pin. Raises Failure, `missing` or `network`, which names every pin without one."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            shared = [
                links for links, _ in pool.map(lambda place: self._find_links(place, waiting), self._places)
            ]
            pages = list(pool.map(lambda pin: self._pages(pin.name, waiting), pins))
        ranks = machine.ranks()
        found: List[Wanted] = []
        lacking: List[str] = []
        broken: List[str] = []
        for pin, (own, troubles) in zip(pins, pages):
            links = [link for page in [*own, *shared] for link in page]
            wanted = choose_link(pin, links, ranks, known)
            if wanted is not None:
                found.append(wanted)
            elif troubles:
                broken += troubles
            else:
                lacking.append(f"{pin} ({self._against(pin, links)})")
        if broken:
            raise Failure(
                "network",
                f"The package index cannot be read: {broken[0]}",
                "Compare `pip config list` with the index you mean, then run it again.",
            )
        if lacking:
            more = f", and {len(lacking) - 3} more" if len(lacking) > 3 else ""
            raise Failure(
                "missing",
                f"The package index lacks a pinned file: {', '.join(lacking[:3])}{more}.",
                "Compare `pip config list` with the index you mean: a mirror may lag behind, or lack a package.",
            )
        return found

    def _against(self, pin: Pin, links: Sequence[Link]) -> str:
        """Why none of those links will do, in a few words."""
        stem = re.compile(
            rf"{re.escape(pin.name)}-{re.escape(pin.version)}-".replace(r"\-", "[-_.]"), re.IGNORECASE
        )
        of_version = [link for link in links if stem.match(link.file)]
        if any(link.sha256 for link in of_version):
            return "only files with other hashes, or for another Python, are listed"
        if of_version:
            return "no wheel for this Python and glibc is listed"
        title = self._titles.get(pin.name, "")
        if not links and title and pin.name not in title.lower():
            return f"the index answers with a page titled `{title[:60]}`: a login page of this network?"
        return "it is not listed"

    def _pages(self, name: str, waiting: Callable[[float], None]) -> Tuple[List[List[Link]], List[str]]:
        pages: List[List[Link]] = []
        troubles: List[str] = []
        for index in self.indexes:
            try:
                links, title = self._read(index.rstrip("/") + f"/{name}/", waiting)
                pages.append(links)
                self._titles.setdefault(name, title)
            except WebError as error:
                if error.status not in (404, 410):
                    troubles.append(error.message)
        return pages, troubles

    def _find_links(self, place: str, waiting: Callable[[float], None]) -> Tuple[List[Link], str]:
        folder = _local(place)
        if folder is not None and folder.is_dir():
            files = sorted(path for path in folder.iterdir() if path.name.endswith(".whl"))
            return [Link(path.name, path.as_uri(), size_bytes=path.stat().st_size) for path in files], ""
        try:
            return self._read(folder.as_uri() if folder is not None else place, waiting)
        except WebError:
            return [], ""  # pip warns and goes on; a pin that only this place has is told as lacking

    def _read(self, address: str, waiting: Callable[[float], None]) -> Tuple[List[Link], str]:
        for attempt in range(len(PAUSES_SECONDS) + 1):
            try:
                return self._read_once(address)
            except WebError as error:
                if not error.transient or attempt == len(PAUSES_SECONDS):
                    raise
                waiting(min(error.wait_seconds or PAUSES_SECONDS[attempt], 60.0))
        raise AssertionError("every attempt returns or raises")

    def _read_once(self, address: str) -> Tuple[List[Link], str]:
        local = _local(address)
        if local is not None:
            local = local / "index.html" if local.is_dir() else local
            try:
                return links_of_page(
                    local.read_text(encoding="utf-8", errors="replace"), local.as_uri(), False
                )
            except OSError as error:
                raise WebError(f"`{local}`: {error.strerror}.", 404, transient=False) from error
        answer, final = self._web.open(address, {"Accept": _ACCEPT})
        try:
            with answer:
                kind = answer.headers.get("Content-Type", "")
                text = answer.read(_PAGE_LIMIT_BYTES).decode("utf-8", "replace")
            return links_of_page(text, final, "json" in kind)
        except (ValueError, KeyError, TypeError) as error:
            raise WebError(f"`{masked(address)}` is no page of a package index.", transient=False) from error
        except Exception as error:  # IncompleteRead, a reset, a time-out
            raise WebError(f"`{masked(address)}` broke off: {type(error).__name__}.") from error


def choose_link(
    pin: Pin, links: Sequence[Link], ranks: Dict[Tag, int], known: Mapping[str, KnownFile]
) -> Optional[Wanted]:
    """The best wheel among the links for that pin, with every address that has it; None where there is none.

    A page that tells hashes decides by them. One that does not is believed by the file's name, and the hash is
    checked when the file is here.
    """
    named = {known[digest].file: digest for digest in pin.sha256s if digest in known}
    best: Optional[Tuple[Tuple[bool, int], str]] = None
    for link in links:
        if not link.file.endswith(".whl") or (link.sha256 and link.sha256 not in pin.sha256s):
            continue
        if named and not link.sha256 and link.file not in named:
            continue
        if pin.version.partition("+")[0] not in link.file:  # spares reading thousands of names
            continue
        place = place_of(link.file, pin, ranks, bool(link.sha256) or link.file in named)
        if place is not None and (best is None or place[0] < best[0]):
            best = (place[0], link.file)
    if best is None:
        return None
    file = best[1]
    same = [link for link in links if link.file == file and (not link.sha256 or link.sha256 in pin.sha256s)]
    same.sort(key=lambda link: (urlsplit(link.address).scheme != "file", not link.sha256))
    told = frozenset(link.sha256 for link in same if link.sha256)
    digests = told or (frozenset([named[file]]) if file in named else pin.sha256s)
    sizes = [known[digest].size_bytes for digest in digests if digest in known]
    sizes = sizes or [link.size_bytes for link in same if link.size_bytes and link.sha256]
    return Wanted(
        str(pin),
        file,
        tuple(dict.fromkeys(link.address for link in same)),
        digests,
        sizes[0] if sizes else None,
    )


def _local(place: str) -> Optional[Path]:
    """The path of a file:// address or of a plain path; None for an address on a network."""
    if place.startswith("file:"):
        return Path(url2pathname(urlsplit(place).path))
    return None if "://" in place else Path(place).expanduser().absolute()
