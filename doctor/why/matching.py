"""Which advisories a log shows, and in which lines: each symptom is tried only where its words are."""

import re
from typing import Dict, FrozenSet, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from envdoc.doctor.advisories import Advisory
from envdoc.doctor.advisories.symptoms import Symptom
from envdoc.doctor.why.decisive import Role
from envdoc.doctor.why.reading import Line

LONGEST_EVIDENCE = 240  # characters of a line that is shown
WRAPPED_LINES = 2  # a symptom may run on over so many lines
_WORD = re.compile(r"[a-z0-9_]+")


class Match(NamedTuple):
    """A symptom in a log. `length` is how many characters it took: the longer, the more it says."""

    is_telling: bool  # a symptom, not a weak one
    role: Role
    place: int  # of the line among those that were kept
    number: int  # of the line in the log
    length: int
    text: str  # the line, as it is shown


class Page:
    """The lines of a log, ready to be searched."""

    def __init__(self, lines: Sequence[Line], roles: Sequence[Role]) -> None:
        self.lines = lines
        self.roles = roles
        self.lower = [line.text.lower() for line in lines]
        words: Set[str] = set()
        for text in self.lower:
            words.update(_WORD.findall(text))
        self._words = "\n".join(words)
        self._places: Dict[str, List[int]] = {}

    def matches(self, advisory: Advisory) -> Tuple[Match, ...]:
        """The best match of each of its symptoms, and of its weak ones where those show nothing; best first."""
        for patterns, is_telling in ((advisory.symptom, True), (advisory.weak_symptom, False)):
            found = [match for pattern in patterns for match in self._best(pattern, is_telling)]
            if found:
                return tuple(sorted(found, key=lambda one: (-one.role, -one.length, one.place)))
        return ()

    def others(self, advisory: Advisory, matches: Tuple[Match, ...]) -> int:
        """In how many more places the advisory shows itself: other lines, by other symptoms."""
        places = {match.place for match in matches}
        if matches[0].is_telling:
            places |= {
                match.place for pattern in advisory.weak_symptom for match in self._best(pattern, False)
            }
        return len(places) - 1

    def _best(self, pattern: Symptom, is_telling: bool) -> Iterable[Match]:
        """The match in the weightiest line, of those the last."""
        best: List[Match] = []
        for index in self._candidates(pattern.words):
            if best and self.roles[index] < best[0].role:
                continue
            match = self._at(pattern, index, is_telling)
            if match is not None and (not best or match.role >= best[0].role):
                best = [match]
        return best

    def _at(self, pattern: Symptom, index: int, is_telling: bool) -> Optional[Match]:
        text = self.lines[index].text
        found = pattern.search(text)
        role = self.roles[index]
        if found is None and index + 1 < len(self.lines):
            text = "\n".join(line.text for line in self.lines[index : index + 1 + WRAPPED_LINES])
            found = pattern.search(text)
            if found is None or found.start() > len(self.lines[index].text):
                return None
            role = max(self.roles[index : index + 1 + WRAPPED_LINES])
        if found is None:
            return None
        line = " ".join(text.split())
        if len(line) > LONGEST_EVIDENCE:
            line = " ".join(found.group().split())[:LONGEST_EVIDENCE]
        return Match(
            is_telling, role, index, self.lines[index].number, min(found.end() - found.start(), 200), line
        )

    def _candidates(self, words: Tuple[str, ...]) -> Sequence[int]:
        if not words:
            return range(len(self.lines))
        present = [word for word in words if word in self._words]
        if not present:
            return ()
        found: FrozenSet[int] = frozenset()
        for word in present:
            found = found.union(self._of_word(word))
        return sorted(found)

    def _of_word(self, word: str) -> List[int]:
        """The lines with that word, and the lines before them, from which a wrapped match may begin."""
        if word not in self._places:
            places: Set[int] = set()
            for index, text in enumerate(self.lower):
                if word in text:
                    places.update(range(max(0, index - WRAPPED_LINES), index + 1))
            self._places[word] = sorted(places)
        return self._places[word]
