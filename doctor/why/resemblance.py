"""What a user says of a run that printed nothing, against the words of the advisories: a guess, and shown as one.

The words of an advisory (summary, details, cause, remedy, the words of its symptoms) and of the description are
weighed by how rare they are among all advisories; what is said in a description and in one advisory alone counts most.
"""

import math
import re
from functools import lru_cache
from typing import Dict, FrozenSet, List, Sequence, Tuple

from envdoc.doctor.advisories import Advisory, advisories

_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)+")
_COMMON_WORDS = """
a after all an and another any are as at be before but by can cannot code could do does even every few for
from had has have if in install installed into is it its less many more most new newer no not of old older on
one only or other out over package packages pip python release releases run running runs same script should so
some still such than that the their then there this to too two under uninstall up use used user uses using
version versions very was were when where which while will with without would
"""
_COMMON = frozenset(_COMMON_WORDS.split())
_ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ed", "es", "s", "ly")


def resemblances(words: str) -> List[Tuple[float, Advisory]]:
    """Every advisory that shares rare words with the text, by how much of the text it accounts for (0 to 1)."""
    asked = tokens(words)
    if not asked:
        return []
    rarity, documents = _index()
    unknown = math.log(len(documents) + 1.0)
    weight = sum(min(rarity.get(token, 0.6 * unknown), unknown) for token in asked)
    scored = []
    for advisory, heavy, light in documents:
        score = sum(rarity[token] * (1.0 if token in heavy else 0.6) for token in asked if token in light)
        if score > 0:
            scored.append((score / weight, advisory))
    return sorted(scored, key=lambda one: (-one[0], one[1].id))


def tokens(text: str) -> FrozenSet[str]:
    """The telling words of a text, without endings; parts of names with underscores or capitals as well."""
    found = set()
    for word in _TOKEN.findall(text):
        parts = (
            [word, *re.findall(r"[A-Z]?[a-z]+|[A-Z]{2,}|\d+(?:\.\d+)*", word)]
            if word[:1].isalpha() or "_" in word
            else [word]
        )
        for part in parts:
            plain = _stem(part.lower())
            if len(plain) > 1 and plain not in _COMMON and part.lower() not in _COMMON:
                found.add(plain)
    return frozenset(found)


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)]
    return word


@lru_cache(maxsize=None)
def _index() -> Tuple[Dict[str, float], Sequence[Tuple[Advisory, FrozenSet[str], FrozenSet[str]]]]:
    """How rare each word is, and each advisory with the words of its title and with all of its words."""
    documents = []
    counts: Dict[str, int] = {}
    for advisory in advisories():
        heavy = tokens(f"{advisory.id} {advisory.summary} {advisory.cause} {advisory.cause_class}")
        symptoms = " ".join(
            re.sub(r"\\.|\{[\d,]+\}", " ", one.pattern) for one in advisory.symptom + advisory.weak_symptom
        )
        light = heavy | tokens(f"{advisory.details} {advisory.remedy.advice} {symptoms}")
        documents.append((advisory, heavy, light))
        for token in light:
            counts[token] = counts.get(token, 0) + 1
    total = len(documents) + 1.0
    return {token: math.log(total / count) for token, count in counts.items()}, documents
