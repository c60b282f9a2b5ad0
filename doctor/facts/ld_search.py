"""A model of the dynamic loader: which file a library's name leads to, in one process that opens one after another.

As glibc does it (elf/dl-load.c and dl-deps.c, 2.17 to 2.41; compared with the real loader in
tests/facts/test_facts_loader.py):

- A name that an object already loaded has (its DT_SONAME, or a name by which it was asked for) is that object.
- Else, where the asking library has no DT_RUNPATH: the DT_RPATHs of it, of the library that asked for it, and so on
  up to the program. One that has a DT_RUNPATH as well does not count.
- Then LD_LIBRARY_PATH, the DT_RUNPATH of the asking library alone, the cache of ldconfig, the built-in folders.
- A file for another machine is passed over; one that is no library ends the search with an error.
- What a library needs is loaded breadth first.

Left out: the glibc-hwcaps folders, DF_1_NODEFLIB, name spaces of dlmopen, programs that run with raised privileges.
"""

import os
from pathlib import Path
from typing import Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from envdoc.doctor.facts.elf import ElfError
from envdoc.doctor.facts.elf_dynamic import Dynamic, dynamic_of
from envdoc.doctor.facts.ld_cache import cached, default_folders
from envdoc.doctor.files import open_file

_MACHINES = {"x86_64": 62, "aarch64": 183, "ppc64le": 21}  # e_machine
_LIMIT = 2000  # objects of one process; torch with everything beside it has some 300


class Loaded:
    """One object in the process."""

    def __init__(self, path: str, names: Iterable[str], asker: Optional["Loaded"], by: str, dynamic: Dynamic):
        self.path = path  # as it was found; links are not followed
        self.names = set(names)
        self.asker = asker
        self.by = (
            by  # what led to it: "RPATH", "RUNPATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "cache"... or "path"
        )
        self.dynamic = dynamic
        self.problem = ""  # why it cannot be loaded

    @property
    def origin(self) -> str:
        """What $ORIGIN stands for in it."""
        return self.path.rpartition("/")[0]


class Request(NamedTuple):
    """A name, who asked for it, and the object that answered; None where none was found."""

    name: str
    asker: Loaded
    answer: Optional[Loaded]


class Files:
    """What is read of files, once for however many processes are modelled."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self._dynamics: Dict[str, Tuple[Dynamic, str]] = {}
        self._fits: Dict[str, Optional[bool]] = {}

    def dynamic(self, path: str) -> Tuple[Dynamic, str]:
        """The dynamic section, and why it cannot be read."""
        if path not in self._dynamics:
            try:
                self._dynamics[path] = dynamic_of(Path(path)), ""
            except (OSError, ElfError) as error:
                self._dynamics[path] = Dynamic(), str(error)
        return self._dynamics[path]

    def fits(self, path: str) -> Optional[bool]:
        """True for a file that the loader takes, be it damaged; False for one of another machine; None for no file."""
        if path not in self._fits:
            self._fits[path] = self._look(path)
        return self._fits[path]

    def _look(self, path: str) -> Optional[bool]:
        try:
            with open_file(Path(path)) as file:
                head = file.read(20)
        except OSError:
            return None
        if head[:4] != b"\x7fELF" or len(head) < 20:
            return True
        number = _MACHINES.get(self.machine)
        return head[4:6] == b"\x02\x01" and (number is None or head[18] | head[19] << 8 == number)


class Process:
    """One process of `program` with those variables. Nothing is run; files are read."""

    def __init__(
        self, program: str, library_path: str, preload: Sequence[Tuple[str, str]], files: Files
    ) -> None:
        """`preload`: name and origin ("LD_PRELOAD" or "/etc/ld.so.preload") in their order."""
        self.files = files
        self.requests: List[Request] = []
        self._by_name: Dict[str, Loaded] = {}
        self._by_file: Dict[Tuple[int, int], Loaded] = {}
        self.main = Loaded(program, (), None, "path", files.dynamic(program)[0])
        self.loaded: List[Loaded] = [self.main]
        self._library_path = [
            _expand(folder, "") or "."
            for folder in (library_path.replace(";", ":").split(":") if library_path else ())
        ]
        first = [self.main]
        for name, by in preload:
            path = self.find(name)
            if path and not files.dynamic(path)[1]:  # one that is damaged is passed over with a message
                first.append(self._load(path, name, self.main, by))
        self._needed(first)

    def find(self, name: str) -> str:
        """The file that the program itself would be given for that name; empty where there is none."""
        return next((path for _, path in self._places(name, self.main) if self.files.fits(path)), "")

    def open(self, name: str, asker: Optional[Loaded] = None) -> Optional[Loaded]:
        """dlopen of a path, or of a name by the library `asker`; None where nothing is found."""
        found = self._object(name, asker or self.main)
        if asker is not None:
            self.requests.append(Request(name, asker, found))
        if found is not None:
            self._needed([found])
        return found

    def forget_missing(self) -> None:
        """Ask again for what was not found: since then it may have been opened by its path."""
        for index, (name, asker, answer) in enumerate(self.requests):
            if answer is None:
                self.requests[index] = Request(name, asker, self._by_name.get(name))

    def _needed(self, first: Sequence[Loaded]) -> None:
        waiting, seen = list(first), {id(one) for one in first}
        for one in waiting:  # grows while it is walked: breadth first
            for name in one.dynamic.needed if len(self.loaded) < _LIMIT else ():
                answer = self._object(name, one)
                self.requests.append(Request(name, one, answer))
                if answer is not None and id(answer) not in seen:
                    seen.add(id(answer))
                    waiting.append(answer)

    def _object(self, name: str, asker: Loaded) -> Optional[Loaded]:
        known = self._by_name.get(name)
        if known is not None:
            return known
        for by, path in self._places(name, asker):
            if self.files.fits(path):
                return self._load(path, name, asker, by)
        return None

    def _load(self, path: str, name: str, asker: Loaded, by: str) -> Loaded:
        status = os.stat(path)  # noqa: PTH116
        key = (status.st_dev, status.st_ino)
        known = self._by_file.get(key)
        if known is not None:
            known.names.add(name)
            self._by_name.setdefault(name, known)
            return known
        dynamic, problem = self.files.dynamic(path)
        one = Loaded(path, {name, path}, asker, by, dynamic)
        one.problem = problem
        if dynamic.soname:
            one.names.add(dynamic.soname)
        for each in one.names:
            self._by_name.setdefault(each, one)
        self._by_file[key] = one
        self.loaded.append(one)
        return one

    def _places(self, name: str, asker: Loaded) -> Iterator[Tuple[str, str]]:
        """(what leads there, path) in the loader's order."""
        if os.sep in name:
            yield "path", _expand(name, asker.origin)
            return
        if not asker.dynamic.runpath:
            for one in self._chain(asker):
                for folder in () if one.dynamic.runpath else one.dynamic.rpath:
                    yield "RPATH", f"{_expand(folder, one.origin)}/{name}"
        for folder in self._library_path:
            yield "LD_LIBRARY_PATH", f"{folder}/{name}"
        for folder in asker.dynamic.runpath:
            yield "RUNPATH", f"{_expand(folder, asker.origin)}/{name}"
        listed = cached(self.files.machine).get(name)
        if listed:
            yield "cache", listed
        for path in default_folders(self.files.machine):
            yield "default", str(path / name)

    def _chain(self, asker: Loaded) -> Iterator[Loaded]:
        one: Optional[Loaded] = asker
        while one is not None:
            yield one
            if one is self.main:
                return
            one = one.asker
        yield self.main


def _expand(text: str, origin: str) -> str:
    if "$" not in text:
        return text
    for name, value in (("ORIGIN", origin), ("LIB", "lib64"), ("PLATFORM", os.uname().machine)):
        text = text.replace("${" + name + "}", value).replace("$" + name, value)
    return text
